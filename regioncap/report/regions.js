
const numberText = (count) => count.toLocaleString("en");
const plural = (count, word) => `${numberText(count)} ${word}${count === 1 ? "" : "s"}`;
const element = (tag, attributes, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};

/* The regions of the page that can be edited: by line of the page (`all`) and by image and box (`byKey`), with the state
   that `drafts`, or else the output, gives them. */
const editableRegions = (drafts) => {
  const all = new Map(), byKey = new Map();
  const counts = { open: 0, approved: 0, edited: 0, rejected: 0 };
  const STATES = { approve: "approved", edit: "edited", reject: "rejected" };
  const BEFORE = { approved: "approved before", edited: "edited before", renewed: "new, after a rejection" };

  class Region {
    constructor(card, line) {
      this.card = card;
      this.line = line;
      this.locked = card.dataset.locked || line.dataset.locked || "";
      this.base = line.dataset.state || ""; // approved, edited; renewed: it took the place of a rejected one
      this.key = this.locked ? "" : edits.keyOf(card.dataset.sha, JSON.parse(line.dataset.box));
      this.state = "";
    }
    get name() { return `region ${this.line.dataset.r} of ${this.card.querySelector("h2 a").textContent}`; }
    get original() { return this.line.querySelector("p"); }
    get text() { return this.line.dataset.exact ? JSON.parse(this.line.dataset.exact) : this.original.textContent; }
    /* The edit that holds for it. A caption that was rejected in a file, and is no longer there, is not this one. */
    get edit() {
      const edit = drafts.all.get(this.key);
      return edit && !(edit.action === "reject" && edit.caption !== this.text) ? edit : null;
    }
    /* Whether the output has a person's word on its caption. */
    get done() { return this.base === "approved" || this.base === "edited"; }
    get caption() { return this.edit && this.edit.action !== "reject" ? this.edit.caption : this.text; }
    edited(action, caption) {
      return {
        image_sha256: this.card.dataset.sha, bbox: JSON.parse(this.line.dataset.box), action, caption,
        image: this.card.querySelector(".name").title, region: Number(this.line.dataset.r),
        time: new Date().toISOString(), ...(caption === this.text ? {} : { was: this.text }),
      };
    }
  }

  const find = () => {
    for (const card of report.cards) {
      for (const line of card.querySelectorAll("li[data-box]")) {
        const region = new Region(card, line);
        all.set(line, region);
        if (region.locked) continue;
        if (!byKey.has(region.key)) byKey.set(region.key, []);
        byKey.get(region.key).push(region);
        counts.open += 1;
        region.state = "open";
        if (region.base || drafts.all.has(region.key)) render(region);
      }
      statesOf(card);
    }
  };
  const ofCard = (card) => [...card.querySelectorAll("li[data-box]")].map((line) => all.get(line));
  const statesOf = (card) => { card.dataset.states = [...new Set(ofCard(card).map((one) => one.state))].join(" "); };

  const render = (region) => {
    const { line, edit } = region;
    const state = edit ? STATES[edit.action] : region.done ? region.base : "open";
    counts[region.state] -= 1;
    counts[state] += 1;
    region.state = state;
    line.dataset.state = edit ? state : region.base || state;
    for (const old of line.querySelectorAll(":scope > .mine, :scope > .state")) old.remove();
    const replaced = edit && edit.action !== "reject" && edit.caption !== region.text;
    line.classList.toggle("replaced", Boolean(replaced));
    const made = [];
    if (replaced) made.push(element("p", { className: "mine", dir: "auto" }, edit.caption));
    const words = edit ? state : BEFORE[region.base];
    if (words) made.push(element("em", { className: "state" }, words));
    (line.querySelector(":scope > small.cut") || region.original).after(...made);
    for (const button of line.querySelectorAll(".acts button")) button.setAttribute("aria-pressed", STATES[button.dataset.act] === state);
    report.changed(region.card);
  };

  // --- the tools of a region, made when its picture comes near

  const ACTS = [["approve", "✓", "Approve", "a"], ["edit", "✎", "Edit", "e"], ["reject", "✗", "Reject", "x"]];
  const equip = (card) => {
    if (card.dataset.equipped) return;
    card.dataset.equipped = "1";
    for (const region of ofCard(card)) {
      const { line } = region;
      if (line.dataset.exact && line.querySelector(".cut")) { // nobody approves what they have not seen
        region.original.textContent = region.text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, "\ufffd");
        line.querySelector(".cut").remove();
      }
      line.setAttribute("aria-label", `Region ${line.dataset.r}`);
      if (region.locked) { line.append(element("small", { className: "locked" }, region.locked)); continue; }
      const acts = element("span", { className: "acts" });
      for (const [act, sign, word, key] of ACTS) {
        const button = element("button", { type: "button", title: `${word} (${key})` }, sign);
        button.dataset.act = act;
        button.setAttribute("aria-label", `${word} region ${line.dataset.r}`);
        button.setAttribute("aria-pressed", STATES[act] === region.state);
        acts.append(button);
      }
      line.append(acts);
    }
  };

  return { all, byKey, counts, STATES, find, ofCard, statesOf, render, equip };
};
