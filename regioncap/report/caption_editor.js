
/* The field in which a caption is typed, one at a time. `put(region, text)`: takes what was accepted;
   `advance(region)`: goes on; `problemOf(text)`: what is wrong with it, or "". */
const captionEditor = (drafts, problemOf, put, advance) => {
  let editor = null;

  const openEditor = (region, text) => {
    if (editor && !closeEditor(true)) return;
    const area = element("textarea", { rows: 2, value: text ?? edits.oneLine(region.caption), spellcheck: true, dir: "auto" });
    area.setAttribute("aria-label", `Caption of region ${region.line.dataset.r}`);
    area.setAttribute("aria-describedby", "wrong");
    const wrong = element("p", { className: "wrong", id: "wrong" });
    wrong.setAttribute("role", "alert");
    const accept = element("button", { type: "button", className: "main" }, "Accept ", element("kbd", {}, "Enter"));
    const cancel = element("button", { type: "button" }, "Cancel ", element("kbd", {}, "Esc"));
    const box = element("div", { className: "editor" }, area, wrong, element("div", { className: "tools" }, accept, cancel));
    editor = { region, area, wrong, box };
    region.line.append(box);
    region.line.classList.add("typing");
    area.addEventListener("input", typed);
    box.addEventListener("keydown", editorKeys);
    accept.addEventListener("click", () => closeEditor(true) && report.choose(region.line));
    cancel.addEventListener("click", () => { closeEditor(false); report.choose(region.line); });
    fit(area);
    box.scrollIntoView({ block: "nearest" });
    area.focus({ preventScroll: true });
    area.setSelectionRange(area.value.length, area.value.length);
  };
  const fit = (area) => { area.style.height = "auto"; area.style.height = `${area.scrollHeight + 2}px`; };
  const typed = () => {
    const { area, region } = editor, at = area.selectionStart, before = area.value;
    const line = edits.oneLine(before);
    if (line !== before) {
      area.value = line;
      const place = edits.oneLine(before.slice(0, at)).length;
      area.setSelectionRange(place, place);
    }
    fit(area);
    drafts.type(region.key, area.value);
    if (area.hasAttribute("aria-invalid")) complain(problemOf(line.trim()));
  };
  const complain = (problem) => {
    editor.wrong.textContent = problem;
    editor.area.toggleAttribute("aria-invalid", Boolean(problem));
    if (problem) editor.area.setAttribute("aria-invalid", "true");
  };
  const editorKeys = (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    const { region } = editor;
    if (event.key === "Escape") closeEditor(false);
    else if (event.key === "Enter" && event.target === editor.area && !event.shiftKey) {
      event.preventDefault();
      event.stopPropagation();
      if (closeEditor(true)) advance(region);
      return;
    } else return;
    event.preventDefault();
    event.stopPropagation();
    report.choose(region.line);
  };
  /* Whether the editor is closed: one whose text cannot be accepted stays open. */
  const closeEditor = (accept) => {
    const { region, area, box } = editor, text = area.value.trim();
    if (accept) {
      const problem = problemOf(text);
      complain(problem);
      if (problem) { area.focus(); return false; }
    }
    box.remove();
    region.line.classList.remove("typing");
    editor = null;
    drafts.type(region.key, null);
    if (accept) put(region, text);
    return true;
  };

  return { open: openEditor, close: (accept) => !editor || closeEditor(accept) };
};
