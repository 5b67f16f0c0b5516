
/* People's edits of captions: what a caption may be, the file of edits, and drafts that outlast the page. */
const edits = (() => {
  const ACTIONS = ["approve", "edit", "reject"];
  const BREAKS = /[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+/g;
  const NO_TEXT = /[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]/gu;
  const LABEL = /(?:^|[.!?。！？…])\s*(<\s*reg[iıİ]on[\s_]*\p{Nd}+\s*>)/iu;

  /* Text as one line: line breaks and tabs, as pasted text has them, become blanks; what cannot be seen is left out. */
  const oneLine = (text) => text.replace(BREAKS, " ").replace(NO_TEXT, "");

  /* What is wrong with a caption; "" if nothing is. The run that reads it applies the same rules: inputs/edits.py. */
  const problemOf = (text, most) => {
    const chars = [...text.trim()].length, label = LABEL.exec(text);
    if (!chars) return "A caption cannot be empty.";
    if (chars > most) return `${chars.toLocaleString("en")} characters; at most ${most.toLocaleString("en")} are possible.`;
    if (text.search(BREAKS) >= 0) return "It has more than one line.";
    if (text.search(NO_TEXT) >= 0) return "It holds control characters, or half of one.";
    if (label) return `It holds the label of a region: ${label[1]}`;
    return "";
  };

  /* What an edit is found again by: boxes are the same up to a thousandth of a pixel, as for the run. */
  const keyOf = (sha, bbox) => `${sha} ${bbox.map((value) => Math.round(value * 1000) / 1000)}`;

  /* An edit as a line of the file. `box`: its bbox as JSON, digit for digit as in the output. */
  const lineOf = (edit, box = JSON.stringify(edit.bbox)) => {
    const { image_sha256, bbox, was, ...rest } = edit;
    const line = `{"image_sha256":${JSON.stringify(image_sha256)},"bbox":${box},${JSON.stringify(rest).slice(1)}\n`;
    // Some programs take these for ends of lines, or drop them.
    return line.replace(/[\x7f-\x9f\u2028\u2029\ufeff]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
  };

  const isBox = (value) => Array.isArray(value) && value.length === 4 && value.every(Number.isFinite) && value[2] > 0 && value[3] > 0;
  const wrongWith = (value, most) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return "expected a JSON object";
    if (!/^[0-9a-f]{64}$/i.test(value.image_sha256)) return "image_sha256: expected 64 hexadecimal digits";
    if (!isBox(value.bbox)) return "bbox: expected four numbers, x, y, width and height";
    if (!ACTIONS.includes(value.action)) return `action: expected one of ${ACTIONS.join(", ")}`;
    if (typeof value.caption !== "string" || !value.caption.trim()) return "caption: expected text";
    return value.action === "reject" ? "" : problemOf(value.caption, most);
  };

  /* The edits in the text of a file, by key; of those of the same image and box the last. Throws an Error. */
  const parse = (text, most) => {
    const found = new Map();
    text.replace(/^\ufeff/, "").split("\n").forEach((line, index) => {
      if (!line.trim()) return;
      let value = null;
      try { value = JSON.parse(line); } catch { throw new Error(`line ${index + 1}: expected JSON`); }
      const wrong = wrongWith(value, most);
      if (wrong) throw new Error(`line ${index + 1}: ${wrong}`);
      const { bbox, action, caption, image, region, time } = value, image_sha256 = value.image_sha256.toLowerCase();
      found.set(keyOf(image_sha256, bbox), { image_sha256, bbox, action, caption, image, region, time });
    });
    return found;
  };

  /* The drafts of a page, by key, in the browser's storage: an item each, so that two tabs do not undo each other.
     Another run of the same output has its own. Where nothing can be stored they last as long as the page. */
  class Drafts {
    constructor(output, run) {
      this.all = new Map();
      this.failed = new Set();
      this.family = `regioncap/${output}/`;
      this.own = `${this.family}${run.slice(0, 16)}/`;
      this.storage = null;
      try { this.storage = window.localStorage; } catch { /* forbidden: kept in memory */ }
      this.check();
      for (const [name, edit] of this.items(this.own)) this.all.set(name, edit);
    }
    check() {
      try {
        this.storage.setItem(`${this.own}!`, "");
        this.storage.removeItem(`${this.own}!`);
      } catch (error) {
        if (error.name !== "QuotaExceededError") this.storage = null; // a full one can still be read
      }
    }
    /* The stored edits under a prefix: [the rest of the name, edit]. */
    items(prefix) {
      if (!this.storage) return [];
      const names = Object.keys(this.storage).filter((name) => name.startsWith(prefix) && !name.includes("!"));
      return names.map((name) => [name.slice(prefix.length), this.read(name)]).filter(([, edit]) => edit);
    }
    read(name) {
      try {
        const value = JSON.parse(this.storage.getItem(name));
        return typeof (value.caption ?? value.text) === "string" ? value : null;
      } catch { return null; }
    }
    /* The edits of other runs of this output, oldest first: [name in the storage, key, edit]. */
    earlier() {
      const others = this.items(this.family).filter(([name]) => !`${this.family}${name}`.startsWith(this.own));
      const found = others.map(([name, edit]) => [`${this.family}${name}`, name.slice(name.indexOf("/") + 1), edit]);
      return found.sort((a, b) => (a[2].time < b[2].time ? -1 : 1));
    }
    forget(name) {
      if (this.storage) this.storage.removeItem(name);
    }
    put(key, edit) {
      if (edit) this.all.set(key, edit); else this.all.delete(key);
      this.store(key, edit && JSON.stringify(edit));
      this.unsaved = true;
    }
    /* Keep `text` under a name; null removes it. */
    store(name, text) {
      try {
        if (text) this.storage.setItem(this.own + name, text); else this.storage.removeItem(this.own + name);
        this.failed.delete(name);
      } catch {
        this.failed.add(name);
      }
    }
    /* Whether there are changes that no file holds yet. */
    get unsaved() {
      return this.dirty ?? Boolean(this.storage && this.storage.getItem(`${this.own}!unsaved`));
    }
    set unsaved(value) {
      if (value === this.dirty) return;
      this.dirty = value;
      this.store("!unsaved", value ? "1" : null);
    }
    /* What was being typed when pages of this output were left, the latest first: [{key, text}]. Each region has its own,
       so that two tabs do not undo each other. */
    get typing() {
      const names = this.storage ? Object.keys(this.storage).filter((name) => name.startsWith(this.family)) : [];
      const found = names.filter((name) => name.includes("/!typing ")).map((name) => this.read(name)).filter(Boolean);
      return found.sort((a, b) => (a.time < b.time ? 1 : -1));
    }
    /* Keep what is being typed for a region; null: it is no longer. */
    type(key, text) {
      const name = `!typing ${key}`;
      if (text === null && this.storage) {
        for (const other of Object.keys(this.storage)) if (other.startsWith(this.family) && other.endsWith(`/${name}`)) this.forget(other);
      }
      this.store(name, text === null ? null : JSON.stringify({ key, text, time: new Date().toISOString() }));
    }
    /* Whether closing the page would lose edits. */
    get atRisk() {
      return this.unsaved && (!this.storage || this.failed.size > 0);
    }
    /* Take over what another tab stored; returns the key, or null for what is not an edit of this run. */
    changedElsewhere(event) {
      if (event.key === `${this.own}!unsaved`) this.dirty = undefined;
      if (!event.key || !event.key.startsWith(this.own) || event.key.includes("!")) return null;
      const key = event.key.slice(this.own.length), edit = this.read(event.key);
      if (edit) this.all.set(key, edit); else this.all.delete(key);
      return key;
    }
  }

  return { Drafts, keyOf, lineOf, oneLine, parse, problemOf };
})();
