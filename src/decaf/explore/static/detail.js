"use strict";
// The open picture, what is known of it, and its neighbours.
decaf.Detail = class {
  constructor(state) {
    this.state = state;
    this.site = state.site;
    decaf.el("detail-close").addEventListener("click", () => state.open(-1));
    state.on("opened", () => this.show());
  }

  async show() {
    const { site, state } = this;
    const row = state.scene.open;
    decaf.el("detail").hidden = row < 0;
    document.body.classList.toggle("opened", row >= 0);
    if (row < 0) return;
    await Promise.all([site.texts ? null : site.loadPaths(), ...site.columns.map((_, index) => site.loadColumn(index))]);
    if (row !== state.scene.open) return;
    decaf.el("picture").replaceChildren(this.picture(row));
    decaf.el("path").textContent = site.path(row);
    decaf.el("facts").replaceChildren(...this.facts(row));
    const { near } = state.scene;
    const layer = site.layers[state.scene.layer].name;
    decaf.el("near-title").textContent = near.length ? `Nearest in ${layer}` : "";
    decaf.el("near").replaceChildren(...near.map((other) => this.neighbour(other)));
    decaf.say(`Open: ${site.path(row)}`);
    this.uncover(row);
  }

  // Move the map where this panel covers the picture it tells of.
  uncover(row) {
    const { scene } = this.state;
    const { camera } = scene;
    if (!this.site.hasPlace(scene.layer, row)) return;
    const stage = decaf.el("stage").getBoundingClientRect();
    const panel = decaf.el("detail").getBoundingClientRect();
    const [x, y] = camera.toScreen(...scene.place(row));
    const beside = panel.width < stage.width * 0.9;
    const margin = 60;
    const over = beside ? [x - (panel.left - stage.left) + margin, 0] : [0, y - (panel.top - stage.top) + margin];
    const [dx, dy] = over.map((pixels) => Math.max(pixels, 0));
    const view = camera.view();
    if (dx || dy) decaf.fly({ ...view, x: view.x + dx / view.scale, y: view.y - dy / view.scale });
  }

  picture(row) {
    const file = this.site.file(row);
    const why = this.site.problems.get(row);
    if (why || !file) return decaf.make("p", { class: "problem" }, why ? `Not to be seen: ${why}` : "No larger picture is stored.");
    const image = decaf.make("img", { src: file, alt: this.site.path(row), decoding: "async" });
    image.addEventListener("error", () => {
      image.replaceWith(decaf.make("p", { class: "problem" }, `Not to be seen: ${file} is missing`));
    });
    return decaf.make("a", { href: this.site.original(row), target: "_blank", rel: "noopener", title: "Open alone" }, image);
  }

  facts(row) {
    const pairs = this.site.columns.map((column, index) => [column.name, this.site.text(index, row)]);
    if (!this.site.hasPlace(this.state.scene.layer, row)) pairs.push(["place", "none on this map"]);
    return pairs.filter(([, text]) => text !== "").flatMap(([name, text]) => [
      decaf.make("dt", {}, name), decaf.make("dd", {}, text),
    ]);
  }

  neighbour(row) {
    const { site, state } = this;
    const label = site.label < 0 ? "" : site.text(site.label, row);
    const name = `${site.path(row)}${label ? `, ${label}` : ""}`;
    const file = site.file(row);
    return decaf.make(
      "button",
      {
        type: "button", "aria-label": `Open ${name}`, title: name,
        onclick: () => state.open(row),
        onpointerenter: () => this.light(row),
        onpointerleave: () => this.light(-1),
      },
      file && !site.problems.has(row)
        ? decaf.make("img", { src: file, alt: "", loading: "lazy", decoding: "async" })
        : decaf.make("span", { class: "problem" }, "?"),
      label ? decaf.make("span", { class: "name" }, label) : null,
    );
  }

  light(row) {
    this.state.scene.hover = row;
    this.state.scene.draw();
  }
};
