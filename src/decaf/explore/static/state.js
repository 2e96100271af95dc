"use strict";
// What the user has chosen, and how it shows on the map.
decaf.State = class {
  constructor(site, scene) {
    this.site = site;
    this.scene = scene;
    this.column = site.columns.length ? 0 : -1;
    this.filters = new Map(); // column -> Set of codes, or [least, greatest]
    this.query = "";
    this.found = null; // Uint8Array, or null where nothing is searched for
    this.foundCount = 0;
    this.selected = new Uint8Array(site.count);
    this.selectedCount = 0;
    this.pointed = null; // code of the legend under the pointer
    this.listeners = new Map();
  }

  on(event, listener) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }

  emit(event) {
    for (const listener of this.listeners.get(event) ?? []) listener();
    if (event !== "changed") this.emit("changed");
  }

  get dark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  passes(row) {
    for (const [index, filter] of this.filters) {
      const value = this.site.values[index][row];
      if (filter instanceof Set ? !filter.has(value) : !(value >= filter[0] && value <= filter[1])) return false;
    }
    return true;
  }

  // Colours and faintness of all rows anew.
  restyle() {
    const { site, scene, found, selected, selectedCount, pointed } = this;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const accent = decaf.colours.parse(colour("--accent"));
    scene.paper = decaf.colours.parse(colour("--map"));
    scene.accent = (255 << 24) | (accent[2] << 16) | (accent[1] << 8) | accent[0];
    Object.assign(scene.overlay, { accent: colour("--accent"), ink: colour("--ink"), halo: colour("--map") });
    this.scheme = decaf.colours.scheme(site, this.column, this.dark);
    const codes = pointed === null ? null : site.values[this.column];
    const filtered = this.filters.size > 0;
    scene.style(
      this.scheme,
      filtered ? (row) => this.passes(row) : () => true,
      (row) =>
        (found !== null && !found[row]) ||
        (selectedCount > 0 && !selected[row]) ||
        (codes !== null && codes[row] !== pointed),
    );
    const column = site.columns[this.column];
    const named = column?.kind === "category" && column.names.length <= 400;
    scene.overlay.setNames(named ? { texts: column.names, codes: site.values[this.column] } : null);
  }

  async colourBy(index) {
    if (index >= 0) await this.site.loadColumn(index);
    this.column = index;
    this.pointed = null;
    this.restyle();
    this.emit("coloured");
  }

  async filterBy(index, filter) {
    await this.site.loadColumn(index);
    const empty = filter === null || (filter instanceof Set && filter.size === 0);
    if (empty) this.filters.delete(index);
    else this.filters.set(index, filter);
    this.restyle();
    this.emit("filtered");
  }

  point(code) {
    if (code === this.pointed) return;
    this.pointed = code;
    this.restyle();
  }

  async search(query) {
    this.query = query;
    const rows = await this.site.find(query);
    if (query !== this.query) return; // the user has typed on
    this.found = query.trim() ? new Uint8Array(this.site.count) : null;
    this.foundCount = rows.length;
    for (const row of rows) this.found[row] = 1;
    this.restyle();
    this.emit("searched");
  }

  foundRows() {
    const rows = [];
    if (this.found) this.found.forEach((yes, row) => yes && rows.push(row));
    return rows;
  }

  // how: "new", "add" or "remove"
  select(rows, how) {
    if (how === "new") this.selected.fill(0);
    for (const row of rows) this.selected[row] = how === "remove" ? 0 : 1;
    this.selectedCount = this.selected.reduce((sum, value) => sum + value, 0);
    this.restyle();
    this.emit("selected");
  }

  selectedRows() {
    const rows = [];
    this.selected.forEach((yes, row) => yes && rows.push(row));
    return rows;
  }

  async open(row, fly = false) {
    const { scene, site } = this;
    scene.open = row;
    scene.near = row < 0 ? [] : await this.neighbours(row);
    if (scene.open !== row) return;
    scene.hover = -1;
    scene.draw();
    if (fly && site.hasPlace(scene.layer, row)) decaf.fly(scene.camera.viewOf(scene.boxOf([row, ...scene.near])));
    this.emit("opened");
  }

  // Rows nearest to a row in the layer that is shown; none where the site knows none.
  async neighbours(row) {
    const { layer } = this.scene;
    const near = await this.site.loadNear(layer);
    const k = this.site.layers[layer].near;
    return near ? [...near.subarray(row * k, (row + 1) * k)].filter((other) => other >= 0) : [];
  }

  clear() {
    if (this.scene.open >= 0) return this.open(-1);
    if (this.selectedCount) return this.select([], "new");
    if (this.query) return this.search("");
    for (const index of [...this.filters.keys()]) this.filterBy(index, null);
    return null;
  }
};
