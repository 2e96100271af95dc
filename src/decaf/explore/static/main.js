"use strict";
// Put the page together.
decaf.say = (text) => {
  decaf.el("said").textContent = text;
};

// Something the user should see, at the foot of the map, until the next such thing.
decaf.tell = (text) => {
  decaf.el("busy").textContent = text;
  decaf.el("busy").hidden = !text;
};

decaf.app = {
  async start() {
    const site = await decaf.Site.open();
    this.site = site;
    document.title = site.about.title;
    decaf.el("title").textContent = site.about.title;
    decaf.el("map").setAttribute("aria-label", `Map of ${decaf.count(site.count, "picture", "pictures")}`);
    this.scene = new decaf.Scene(site, decaf.el("map"), decaf.el("overlay"));
    this.state = new decaf.State(site, this.scene);
    await Promise.all([site.loadLayer(site.about.first), this.state.column < 0 ? null : site.loadColumn(this.state.column)]);
    this.state.restyle();
    this.watchSize();
    this.state.on("searched", () => this.showFound());
    this.layers = new decaf.LayerSlider(this.state);
    this.tags = new decaf.Tags(this.state);
    this.legend = new decaf.Legend(this.state);
    this.detail = new decaf.Detail(this.state);
    this.pointer = new decaf.Pointer(this.state);
    this.keys = new decaf.Keys(this);
    this.address = new decaf.Address(this);
    if (site.about.pictures.served) this.drop = new decaf.Drop(this);
    this.connect();
    decaf.el("map").addEventListener("webglcontextlost", () => decaf.tell("The graphics card was reset: load the page anew."));
    this.legend.show();
    decaf.tell("");
    await site.loadPictures();
    await Promise.all([this.address.read(), site.loadPaths()]);
    this.scene.draw();
    document.body.dataset.ready = "yes";
  },

  watchSize() {
    const stage = decaf.el("stage");
    this.scene.camera.inset = this.site.layers.length > 1 ? 84 : 0; // the slider
    const fit = () => this.scene.resize(stage.clientWidth, stage.clientHeight, Math.min(devicePixelRatio || 1, 2));
    new ResizeObserver(fit).observe(stage);
    fit();
  },

  connect() {
    const { state, scene } = this;
    let typing = 0;
    decaf.el("query").addEventListener("input", (event) => {
      clearTimeout(typing);
      typing = setTimeout(() => state.search(event.target.value), 120);
    });
    decaf.el("search").addEventListener("submit", async (event) => {
      event.preventDefault();
      clearTimeout(typing);
      await state.search(decaf.el("query").value);
      const box = scene.boxOf(state.foundRows());
      if (box) decaf.fly(scene.camera.viewOf(box));
      decaf.el("map").focus();
    });
    decaf.el("theme").addEventListener("click", () => this.setTheme(state.dark ? "light" : "dark"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.restyle());
    decaf.el("help-open").addEventListener("click", () => decaf.el("help").showModal());
    decaf.el("notes").append(...state.site.about.notes.map((note) => decaf.make("li", {}, note)));
    decaf.el("panel-toggle").addEventListener("click", () => this.togglePanel());
    if (innerWidth < 760) this.togglePanel();
  },

  setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    this.restyle();
  },

  restyle() {
    this.state.restyle();
    this.legend.show();
  },

  togglePanel() {
    const hidden = document.body.classList.toggle("no-panel");
    decaf.el("panel-toggle").setAttribute("aria-expanded", String(!hidden));
  },

  switchMode() {
    const { scene } = this;
    scene.mode = scene.showsPictures ? "dots" : "pictures";
    scene.draw();
    this.state.emit("moved");
  },

  showFound() {
    const { state } = this;
    if (decaf.el("query").value.trim() !== state.query.trim()) decaf.el("query").value = state.query;
    decaf.el("found").textContent = state.found ? `${state.foundCount.toLocaleString("en")} found` : "";
  },
};

decaf.app.start().catch((error) => {
  decaf.tell(`This page cannot be shown: ${error.message}.`);
  document.body.dataset.ready = "failed";
  console.error(error);
});
