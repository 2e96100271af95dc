"use strict";
// The part of the address after #: what is seen, so that it can be shared.
decaf.Address = class {
  constructor({ state, scene, layers }) {
    Object.assign(this, { state, scene, layers, site: state.site });
    state.on("changed", () => this.later());
    addEventListener("hashchange", () => location.hash.slice(1) !== this.written && this.read());
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.write(), 250);
  }

  text() {
    const { state, scene, site } = this;
    const parts = new URLSearchParams();
    if (site.layers.length > 1) parts.set("layer", site.layers[scene.layer].name);
    parts.set("colour", state.column < 0 ? "" : site.columns[state.column].name);
    const { x, y } = scene.camera;
    parts.set("view", [x, y, scene.camera.zoom].map((value) => Number(value.toPrecision(5))).join(","));
    if (scene.size !== 1) parts.set("size", scene.size.toFixed(2));
    if (scene.mode !== "auto") parts.set("as", scene.mode);
    for (const [index, filter] of state.filters) parts.append("only", `${index}:${[...filter].join(",")}`);
    if (state.query) parts.set("find", state.query);
    if (scene.open >= 0) parts.set("picture", scene.open);
    return parts.toString();
  }

  write() {
    this.written = this.text();
    history.replaceState(null, "", `#${this.written}`);
    this.written = location.hash.slice(1);
  }

  // Show what an address says; what it does not say, or says wrongly, stays as it is.
  async read() {
    const { state, scene, site } = this;
    const parts = new URLSearchParams(location.hash.slice(1));
    const column = site.columns.findIndex((one) => one.name === parts.get("colour"));
    const layer = site.layers.findIndex((one) => one.name === parts.get("layer"));
    await scene.moveTo(layer >= 0 ? layer : scene.layer);
    this.layers.mark();
    const [x, y, zoom] = (parts.get("view") ?? "").split(",").map(Number);
    if ([x, y, zoom].every(Number.isFinite) && zoom > 0) {
      scene.camera.set({ x, y, scale: scene.camera.fitted * zoom });
      scene.camera.zoomAt(1, scene.camera.width / 2, scene.camera.middle); // within bounds
    }
    if (Number(parts.get("size")) > 0) scene.size = Math.min(Math.max(Number(parts.get("size")), 0.2), 6);
    if (["dots", "pictures"].includes(parts.get("as"))) scene.mode = parts.get("as");
    await this.readFilters(parts.getAll("only"));
    await state.colourBy(parts.get("colour") === "" ? -1 : column >= 0 ? column : state.column);
    if (parts.get("find") ?? state.query) {
      decaf.el("query").value = parts.get("find") ?? "";
      await state.search(parts.get("find") ?? "");
    }
    const picture = Number(parts.get("picture") ?? -1);
    if (Number.isInteger(picture) && picture < site.count && picture !== scene.open) await state.open(Math.max(picture, -1));
  }

  async readFilters(texts) {
    const { state, site } = this;
    state.filters.clear();
    for (const text of texts) {
      const [index, list] = text.split(":");
      const column = site.columns[Number(index)];
      const values = (list ?? "").split(",").map(Number);
      if (!column || !values.every(Number.isFinite)) continue;
      if (column.kind === "category") await state.filterBy(Number(index), new Set(values));
      else if (values.length === 2) await state.filterBy(Number(index), values);
    }
  }
};
