"use strict";
/* The page: what is shown, captions and their boxes, keys. Returns what the editing mode builds on. */
const report = (() => {
  const root = document.documentElement;
  const $ = (id) => document.getElementById(id);
  const list = $("cards"), search = $("search"), sort = $("sort"), changed = $("changed");
  const cards = [...list.children];
  const texts = new Map();
  const chosen = { type: new Set(), code: new Set(), flags: new Set(), flagsBefore: new Set(), change: new Set(), n: new Set(), state: new Set() };
  const all = $("count").textContent;
  let shown = cards, current = null, line = null;
  root.classList.add("on");
  if (matchMedia("(max-width: 62rem)").matches) $("filters").open = false;

  // --- what is shown

  const text = (card) => {
    if (!texts.has(card)) texts.set(card, card.textContent.toLowerCase());
    return texts.get(card);
  };
  const fits = (card, words) => {
    const d = card.dataset;
    if (chosen.type.size && !chosen.type.has(d.type)) return false;
    if (chosen.code.size && !chosen.code.has(d.code)) return false;
    if (chosen.change.size && !chosen.change.has(d.change)) return false;
    if (chosen.n.size && ![...chosen.n].some((n) => (n.endsWith("+") ? +d.n >= parseInt(n, 10) : d.n === n))) return false;
    if (chosen.flags.size && !d.flags.split(" ").some((flag) => chosen.flags.has(flag))) return false;
    if (chosen.state.size && !(d.states || "").split(" ").some((state) => chosen.state.has(state))) return false;
    if (chosen.flagsBefore.size && !(d.flagsBefore || "").split(" ").some((flag) => chosen.flagsBefore.has(flag))) return false;
    if (changed && changed.checked && (d.change || "same") === "same") return false;
    return words.every((word) => text(card).includes(word));
  };
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = order(cards.filter((card) => fits(card, words)));
    const kept = new Set(shown);
    for (const card of cards) card.hidden = !kept.has(card);
    list.append(...shown);
    const filtered = shown.length !== cards.length;
    const of = cards.length.toLocaleString("en");
    $("count").textContent = filtered ? `${shown.length.toLocaleString("en")} of ${of} pictures` : all;
    $("clear").hidden = !filtered;
    $("nothing").hidden = shown.length > 0;
    if (current && !kept.has(current)) select(null);
  };
  const order = (found) => {
    const down = sort.value.startsWith("-"), key = sort.value.replace("-", "");
    const value = (card) => Number(card.dataset[key] || 0);
    return found.sort((a, b) => (down ? value(b) - value(a) : value(a) - value(b)) || a.dataset.order - b.dataset.order);
  };
  const press = (button, group) => {
    const on = !chosen[group].has(button.dataset.value);
    chosen[group][on ? "add" : "delete"](button.dataset.value);
    button.setAttribute("aria-pressed", on);
    show();
  };
  const clear = () => {
    for (const set of Object.values(chosen)) set.clear();
    for (const button of document.querySelectorAll("[data-filter] [aria-pressed], .bar[aria-pressed]")) button.setAttribute("aria-pressed", "false");
    search.value = "";
    if (changed) changed.checked = false;
    show();
  };
  for (const group of document.querySelectorAll("[data-filter]")) {
    group.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) press(button, group.dataset.filter);
    });
  }
  for (const bar of document.querySelectorAll(".bar")) {
    bar.addEventListener("click", () => press(bar, "n"));
    bar.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      press(bar, "n");
    });
  }
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(show, 80); });
  sort.addEventListener("change", show);
  if (changed) changed.addEventListener("change", show);
  $("clear").addEventListener("click", clear);

  // --- a caption and its box

  const light = (card, number) => {
    for (const lit of card.querySelectorAll(".lit")) lit.classList.remove("lit");
    card.classList.toggle("lit", number !== null);
    if (number !== null) for (const part of card.querySelectorAll(`[data-r="${number}"]`)) part.classList.add("lit");
  };
  list.addEventListener("mouseover", (event) => {
    const part = event.target.closest("[data-r]"), card = event.target.closest(".card");
    if (!card) return;
    light(card, part ? part.dataset.r : null);
    if (part && !part.closest("li")) {
      const line = card.querySelector(`li[data-r="${part.dataset.r}"]`), box = line && line.getBoundingClientRect();
      if (box && (box.bottom < 0 || box.top > innerHeight)) line.scrollIntoView({ block: "nearest" });
    }
  });
  list.addEventListener("mouseout", (event) => {
    const card = event.target.closest(".card");
    if (card && !card.contains(event.relatedTarget)) light(card, card === current && line ? line.dataset.r : null);
  });
  list.addEventListener("click", (event) => {
    const part = event.target.closest("[data-r]"), card = event.target.closest(".card");
    if (!part || event.target.closest("button, textarea, a, summary") || String(getSelection())) return;
    const clicked = card.querySelector(`li[data-r="${part.dataset.r}"]`);
    if (clicked) choose(clicked);
  });

  // --- keys

  const leave = () => {
    if (current) { current.classList.remove("current"); light(current, null); }
    current = line = null;
  };
  const select = (card) => {
    leave();
    if (!card) return;
    current = card;
    card.classList.add("current");
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  };
  const choose = (next) => {
    if (current !== next.closest(".card")) leave();
    line = next;
    current = next.closest(".card");
    current.classList.add("current");
    light(current, line.dataset.r);
    line.tabIndex = -1;
    line.focus({ preventScroll: true });
    if (current.offsetHeight < innerHeight) current.scrollIntoView({ block: "nearest" });
    line.scrollIntoView({ block: "nearest" });
  };
  const step = (by) => {
    if (!shown.length) return;
    const at = current ? shown.indexOf(current) + by : by > 0 ? firstInView() : shown.length - 1;
    select(shown[Math.max(0, Math.min(shown.length - 1, at))]);
  };
  const firstInView = () => Math.max(0, shown.findIndex((card) => card.getBoundingClientRect().bottom > 40));
  const stepRegion = (by, wanted = () => true) => {
    const start = current ? shown.indexOf(current) : by > 0 ? firstInView() : shown.length - 1;
    for (let at = start; at >= 0 && at < shown.length; at += by) {
      const lines = [...shown[at].querySelectorAll("li")];
      if (by < 0) lines.reverse();
      const next = lines.slice(lines.indexOf(line) + 1).find(wanted);
      if (next) { choose(next); return true; }
    }
    return false;
  };
  const moves = {
    ArrowDown: () => step(1), j: () => step(1), ArrowUp: () => step(-1), k: () => step(-1),
    ArrowRight: () => stepRegion(1), ArrowLeft: () => stepRegion(-1),
    "/": () => { search.focus(); search.select(); },
  };
  const escapes = [() => current && (select(null), true), () => { clear(); return true; }];
  const keyOf = (event) => {
    // A keyboard of another script has the letters where a Latin one has them.
    const letter = /^Key([A-Z])$/.exec(event.code);
    const key = letter && /[^\0-\x7f]/.test(event.key) ? letter[1].toLowerCase() : event.key;
    if (key.length > 1) return key;
    return event.shiftKey ? key.toUpperCase() : key.toLowerCase(); // whatever Caps Lock says
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "Escape") {
      if (typing) typing.blur();
      return void escapes.some((escape) => escape());
    }
    if (typing && event.key === "Enter" && typing === search) { search.blur(); return step(1); }
    const move = moves[keyOf(event)];
    if (typing || !move) return;
    event.preventDefault();
    move(event);
  });

  return {
    cards, moves, escapes, select, choose, step, stepRegion, show, pressed: () => chosen.state.size > 0,
    current: () => current, line: () => line, changed: (card) => texts.delete(card),
  };
})();
