"use strict";
// Tags of selected pictures, kept in this browser, and tables of them.
decaf.Tags = class {
  constructor(state) {
    this.state = state;
    this.site = state.site;
    this.key = `decaf-tags-${this.site.about.digest}`;
    this.tags = this.restore();
    decaf.el("tag-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.tag(decaf.el("tag-name").value.trim());
    });
    decaf.el("deselect").addEventListener("click", () => state.select([], "new"));
    decaf.el("export").addEventListener("click", () => this.export());
    state.on("selected", () => this.show());
    this.show();
  }

  restore() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.key) ?? "[]");
      return new Map(kept.map(([name, rows]) => [String(name), new Set(rows.filter((row) => row < this.site.count))]));
    } catch {
      return new Map(); // storage is switched off, or holds something else
    }
  }

  keep() {
    try {
      localStorage.setItem(this.key, JSON.stringify([...this.tags].map(([name, rows]) => [name, [...rows]])));
    } catch {
      decaf.say("Tags cannot be kept in this browser: export them before you leave.");
    }
  }

  tag(name) {
    if (!name || !this.state.selectedCount) return;
    const rows = this.tags.get(name) ?? new Set();
    for (const row of this.state.selectedRows()) rows.add(row);
    this.tags.set(name, rows);
    this.keep();
    this.show();
    decaf.say(`${decaf.count(this.state.selectedCount, "picture", "pictures")} tagged ${name}`);
  }

  remove(name) {
    this.tags.delete(name);
    this.keep();
    this.show();
  }

  show() {
    const { selectedCount } = this.state;
    decaf.el("selected").textContent = selectedCount
      ? `${decaf.count(selectedCount, "picture", "pictures")} selected`
      : this.tags.size ? "Nothing selected." : "Nothing selected: draw a lasso or a box.";
    decaf.el("tag-form").hidden = !selectedCount;
    decaf.el("export").hidden = !selectedCount && !this.tags.size;
    decaf.el("export").textContent = this.tags.size ? "Export tags as CSV" : "Export selection as CSV";
    decaf.el("tags").replaceChildren(...[...this.tags].map(([name, rows]) => this.line(name, rows)));
  }

  line(name, rows) {
    const pick = () => this.state.select([...rows], "new");
    return decaf.make(
      "li", {},
      decaf.make("button", { type: "button", class: "entry", onclick: pick, title: "Select these" },
        decaf.make("span", { class: "name" }, name), decaf.make("span", { class: "n" }, rows.size.toLocaleString("en"))),
      decaf.make("button", {
        type: "button", class: "small", "aria-label": `Remove tag ${name}`, onclick: () => this.remove(name),
      }, "×"),
    );
  }

  // path,label,was: the tag is the label, so that decaf takes the table with --labels. Without tags: path,label.
  async csv() {
    const { label } = this.site;
    await Promise.all([this.site.loadPaths(), label < 0 ? null : this.site.loadColumn(label)]);
    const was = (row) => (label < 0 ? "" : this.site.text(label, row));
    const lines = this.tags.size
      ? [...this.tags].flatMap(([name, rows]) =>
          [...rows].sort((a, b) => a - b).map((row) => [this.site.path(row), name, was(row)]))
      : this.state.selectedRows().map((row) => [this.site.path(row), was(row)]);
    const head = this.tags.size ? ["path", "label", "was"] : ["path", "label"];
    return [head, ...lines].map((line) => line.map(this.quote).join(",")).join("\r\n") + "\r\n";
  }

  quote(text) {
    return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  async export() {
    const url = URL.createObjectURL(new Blob([await this.csv()], { type: "text/csv" }));
    decaf.make("a", { href: url, download: this.tags.size ? "tags.csv" : "selection.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
};
