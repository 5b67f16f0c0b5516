
/* The editing mode: approve, edit and reject captions, by keyboard, mouse and touch; save them as a file. */
(() => {
  const $ = (id) => document.getElementById(id);
  const root = $("editing");
  if (!root) return;
  const most = Number(root.dataset.maxChars), fileName = root.dataset.file;
  const drafts = new edits.Drafts(root.dataset.output, root.dataset.run);
  const { all: regions, byKey, counts, STATES, find, ofCard, statesOf, render, equip } = editableRegions(drafts);
  const history = [];
  const problemOf = (text) => edits.problemOf(text, most);
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { equip(entry.target); near.unobserve(entry.target); }
  }, { rootMargin: "800px" });

  /* What has the focus has its tools, however near the picture is: Tab leads to them. */
  $("cards").addEventListener("focusin", (event) => {
    if (document.documentElement.classList.contains("editing")) equip(event.target.closest(".card"));
  });
  $("cards").addEventListener("click", (event) => {
    const button = event.target.closest(".acts button");
    if (!button) return;
    const region = regions.get(button.closest("li"));
    report.choose(region.line);
    if (button.dataset.act === "edit") return void editor.open(region);
    if (button.getAttribute("aria-pressed") === "true" && region.edit) return reset(region);
    if (button.dataset.act === "approve") approve(region); else reject(region);
  });

  // --- changes

  /* Put the edits (null: none) of these keys, as one step to undo. */
  const change = (step, words, undoing = false) => {
    if (!undoing) history.push({ words, before: step.map(([key]) => [key, drafts.all.get(key)]) });
    for (const [key, edit] of step) {
      drafts.put(key, edit);
      (byKey.get(key) || []).forEach(render);
    }
    for (const card of new Set(step.flatMap(([key]) => (byKey.get(key) || []).map((one) => one.card)))) statesOf(card);
    say(undoing ? `Undone: ${words}` : words);
    summarise();
  };
  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  const put = (region, action, caption) =>
    change([[region.key, region.edited(action, caption)]], capital(`${region.name} ${STATES[action]}`));
  const approvable = (region) => {
    const problem = problemOf(region.text);
    if (problem) say(`${capital(region.name)} cannot be approved as it is; edit or reject it. ${problem}`, true);
    return !problem;
  };
  const approve = (region) => {
    if (region.edit && region.edit.action !== "reject") return true;
    if (!approvable(region)) return false;
    put(region, "approve", region.text);
    return true;
  };
  const reject = (region) => {
    if (!region.text.trim()) return void say(`${capital(region.name)} has no caption to reject; edit it.`, true);
    if (!region.edit || region.edit.action !== "reject") put(region, "reject", region.text);
    return true;
  };
  const reset = (region) => {
    if (region.edit) return change([[region.key, null]], `${capital(region.name)} not reviewed, after all`);
    if (region.done) say(`${capital(region.name)} is ${region.base} by the file of edits that this output was made with: edit or reject it, or remove its line there.`, true);
  };
  const approveAll = () => {
    const open = report.current() ? ofCard(report.current()).filter((one) => one.state === "open") : [];
    const fit = open.filter(approvable);
    if (!open.length) return report.step(1);
    if (!fit.length) return;
    const step = fit.map((region) => [region.key, region.edited("approve", region.text)]);
    change(step, `${plural(fit.length, "caption")} of ${report.current().querySelector("h2 a").textContent} approved`);
    if (fit.length === open.length) report.step(1);
  };
  const undo = () => {
    const step = history.pop();
    if (!step) return say("Nothing to undo.");
    change(step.before, step.words, true);
    const first = step.before.flatMap(([key]) => byKey.get(key) || [])[0];
    if (first && !first.card.hidden) report.choose(first.line);
  };

  // --- moving

  const advance = (region) => {
    if (!report.stepRegion(1)) report.choose(region.line);
  };
  const accepted = (region, text) => {
    if (text !== region.caption || !region.edit || region.edit.action === "reject") put(region, text === region.text ? "approve" : "edit", text);
  };
  const editor = captionEditor(drafts, problemOf, accepted, advance);
  const selected = () => {
    const region = report.line() && regions.get(report.line());
    if (!region) { report.stepRegion(1, (line) => regions.has(line)); return null; }
    if (region.locked) say(region.locked, true); else equip(region.card);
    return region.locked ? null : region;
  };
  const acting = (act) => ({ repeat }) => {
    if (repeat) return; // a key that is held down decides once
    begin();
    const region = selected();
    if (region && act(region) === true) advance(region);
  };
  const isOpen = (line) => regions.has(line) && regions.get(line).state === "open";
  const nextOpen = (by) => () => {
    begin();
    if (!report.stepRegion(by, isOpen)) say(by > 0 ? "No region after this one is left to review." : "No region before this one is left to review.");
  };
  Object.assign(report.moves, {
    a: acting(approve), x: acting(reject), e: acting((region) => void editor.open(region)), A: ({ repeat }) => { if (!repeat) { begin(); approveAll(); } },
    Backspace: acting((region) => void reset(region)), Delete: acting((region) => void reset(region)),
    u: () => undo(), s: () => save(), n: nextOpen(1), p: nextOpen(-1), "?": () => $("keys").showModal(),
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key !== "z" || event.target.closest("input, textarea")) return;
    event.preventDefault();
    undo();
  });

  // --- the bar

  const say = (text, bad = false) => {
    $("said").textContent = text;
    $("said").classList.toggle("bad", bad);
  };
  const summarise = () => {
    const total = Object.values(counts).reduce((sum, one) => sum + one, 0), made = drafts.all.size;
    const parts = ["approved", "edited", "rejected"].map((state) => `${numberText(counts[state])} ${state}`);
    const reviewed = total - counts.open;
    $("reviewed").textContent = `${numberText(reviewed)} of ${numberText(total)} reviewed${reviewed ? `: ${parts.join(", ")}` : ""}`;
    $("save").textContent = made ? `Save ${plural(made, "edit")}` : "Save";
    $("save").disabled = !made;
    $("save").classList.toggle("saved", !drafts.unsaved);
    $("undo").disabled = !history.length;
    for (const chip of document.querySelectorAll('[data-filter="state"] button')) chip.querySelector("b").textContent = numberText(counts[chip.dataset.value]);
    $("risk").hidden = Boolean(drafts.storage) && !drafts.failed.size;
  };

  const save = () => {
    if (!editor.close(true)) return;
    if (!drafts.all.size) return say("There are no edits to save yet.");
    const rest = new Map(drafts.all), lines = [];
    for (const [key, [region]] of byKey) {
      if (rest.has(key)) lines.push(edits.lineOf(rest.get(key), region.line.dataset.box));
      rest.delete(key);
    }
    for (const edit of rest.values()) lines.push(edits.lineOf(edit));
    const url = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
    element("a", { href: url, download: fileName }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    drafts.unsaved = false;
    const before = [...regions.values()].some((region) => region.base && !region.edit);
    const missing = before ? " Edits that this output has already are not in it: open their file first to keep them." : "";
    const elsewhere = rest.size ? ` ${plural(rest.size, "edit")} of regions that this page does not show included.` : "";
    say(`Saved as ${fileName}; a run takes it by --edits.${elsewhere}${missing}`);
    summarise();
  };

  /* Take over edits that were made elsewhere, unless there is a later one here. */
  const adopt = (found, where) => {
    const step = [...found].filter(([key, edit]) => {
      const mine = drafts.all.get(key);
      return !mine || !mine.time || Date.parse(edit.time) >= Date.parse(mine.time);
    });
    const here = step.filter(([key]) => byKey.has(key)).length;
    const notes = [`${plural(step.length, "edit")} of ${where} taken over`];
    if (step.length > here) notes.push(`${numberText(step.length - here)} of regions that this page does not show`);
    if (step.length < found.size) notes.push(`${numberText(found.size - step.length)} left out, since there are later ones here`);
    if (step.length) change(step, notes.join(", ")); else say(`${capital(notes.join(", "))}.`);
  };
  const read = async (file) => {
    begin();
    try {
      const found = edits.parse(await file.text(), most);
      if (!found.size) return say(`${file.name}: there are no edits in it.`, true);
      adopt(found, file.name);
    } catch (error) {
      say(`${file.name} ${error.message}; nothing was taken over.`, true);
    }
  };
  $("open").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", async () => {
    for (const file of $("file").files) await read(file);
    $("file").value = "";
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    [...event.dataTransfer.files].reduce((before, file) => before.then(() => read(file)), Promise.resolve());
  });

  // --- the mode

  const begin = () => {
    const html = document.documentElement;
    if (html.classList.contains("editing")) return;
    if (!regions.size) find();
    html.classList.add("editing");
    for (const card of report.cards) near.observe(card);
    if (report.current()) equip(report.current());
    summarise();
  };
  const end = () => {
    if (!editor.close(true)) return;
    near.disconnect();
    document.documentElement.classList.remove("editing");
    if (report.pressed()) document.getElementById("clear").click();
  };
  report.escapes.splice(1, 0, () => document.documentElement.classList.contains("editing") && (end(), true));
  $("review").addEventListener("click", () => { begin(); report.stepRegion(1, isOpen); });
  $("close").addEventListener("click", end);
  $("undo").addEventListener("click", undo);
  $("save").addEventListener("click", save);
  $("help").addEventListener("click", () => $("keys").showModal());
  $("keys-close").addEventListener("click", () => $("keys").close());
  addEventListener("beforeunload", (event) => { if (drafts.atRisk) event.preventDefault(); });
  addEventListener("storage", (event) => {
    const key = drafts.changedElsewhere(event);
    if (key === null || !regions.size) return;
    for (const region of byKey.get(key) || []) { render(region); statesOf(region.card); }
    summarise();
  });

  // --- drafts of before: of this page, and of earlier runs of the same output

  /* What an earlier run's draft is for this output: its region's text is the same; it is done; or it is another text. */
  const standing = (region, edit) => {
    if (edit.action === "reject" ? region.base === "renewed" && edit.caption !== region.text
      : region.base === STATES[edit.action] && edit.caption === region.text) return "done";
    return (edit.was ?? edit.caption) === region.text ? "same" : "other";
  };
  const takeOver = (earlier) => {
    const others = new Map(), names = [];
    for (const [name, key, edit] of earlier) {
      const region = (byKey.get(key) || [])[0];
      if (!region) continue; // this page does not show it
      const mine = drafts.all.get(key), stands = mine && mine.time > edit.time ? "done" : standing(region, edit);
      if (stands === "other") { others.set(key, edit); names.push(name); continue; }
      if (stands === "same") { drafts.put(key, edit); byKey.get(key).forEach(render); }
      drafts.forget(name);
    }
    if (!others.size) return;
    $("earlier").hidden = false;
    $("earlier").firstElementChild.textContent = `${plural(others.size, "draft")} of an earlier run ${others.size === 1 ? "is" : "are"} about other captions than these.`;
    const settle = () => { names.forEach((name) => drafts.forget(name)); $("earlier").hidden = true; };
    $("take").addEventListener("click", () => { adopt(others, "an earlier run"); settle(); });
    $("discard").addEventListener("click", settle);
  };

  const earlier = drafts.earlier(), typing = drafts.typing;
  if (drafts.all.size || earlier.length || typing.length) {
    find();
    takeOver(earlier);
    for (const card of report.cards) statesOf(card);
    const begun = typing.find(({ key }) => byKey.has(key));
    if (drafts.all.size || begun || !$("earlier").hidden) begin();
    if (!begun) return;
    const [region] = byKey.get(begun.key);
    report.choose(region.line);
    equip(region.card);
    editor.open(region, begun.text);
  }
})();
