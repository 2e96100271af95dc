"use strict";
// Pictures from outside, where a server answers for them: dropped, pasted or chosen. One at a time is shown as a guest.
decaf.Drop = class {
  constructor({ state, scene, detail }) {
    Object.assign(this, { state, scene, detail, site: state.site });
    this.address = "drop";
    this.guest = null; // { image, answer, name }
    this.most = Infinity;
    this.overlay = scene.overlay;
    this.overlay.onTop = (pen) => this.draw(pen);
    this.build();
    this.listen();
    this.ask();
  }

  build() {
    this.input = decaf.make("input", { type: "file", accept: "image/*", hidden: true, id: "drop-input" });
    this.button = decaf.make(
      "button",
      {
        type: "button", id: "drop-open", "aria-label": "Choose a picture to find its place",
        title: "Choose one, or drop it on the map, or paste it", onclick: () => this.input.click(),
      },
      decaf.make("span", { class: "wide" }, "Drop a picture"),
      decaf.make("span", { class: "narrow" }, "+"),
    );
    this.chip = decaf.make("button", { type: "button", id: "drop-chip", hidden: true, "aria-label": "Show your picture again", onclick: () => this.show() });
    this.target = decaf.make("div", { id: "drop-target", hidden: true }, decaf.make("p", {}, "Drop a picture to find its place"));
    document.querySelector(".buttons").prepend(this.button, this.input);
    decaf.el("stage").append(this.chip, this.target);
  }

  listen() {
    this.input.addEventListener("change", () => {
      this.take(this.input.files);
      this.input.value = "";
    });
    addEventListener("paste", (event) => {
      if (event.clipboardData.files.length) this.take(event.clipboardData.files);
    });
    const carriesFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    let inside = 0;
    addEventListener("dragenter", (event) => {
      if (!carriesFile(event)) return;
      inside++;
      this.target.hidden = false;
    });
    addEventListener("dragleave", (event) => {
      if (carriesFile(event) && --inside <= 0) this.target.hidden = true;
    });
    addEventListener("dragover", (event) => carriesFile(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!carriesFile(event)) return;
      event.preventDefault(); // else the browser leaves the page for the file
      inside = 0;
      this.target.hidden = true;
      this.take(event.dataTransfer.files);
    });
    this.state.on("opened", () => this.scene.open >= 0 && this.leave());
    this.state.on("moved", () => this.guest && this.shown && this.scene.layer !== this.layer && this.show(false));
    decaf.el("detail-close").addEventListener("click", () => this.forget());
    addEventListener("keydown", (event) => event.key === "Escape" && this.shown && this.forget());
    decaf.el("map").addEventListener("click", (event) => this.click(event));
  }

  // What the server takes, and whether it can answer at all.
  async ask() {
    const about = await (await fetch(this.address)).json();
    this.most = about.bytes;
    this.able = about.drop;
    if (!this.able) this.button.title = decaf.Drop.UNABLE;
  }

  async take(files) {
    const [file] = files;
    if (!file) return;
    if (!this.able) return this.complain(decaf.Drop.UNABLE);
    if (file.size > this.most) return this.complain(`${file.name} has ${this.megabytes(file.size)}: more than the ${this.megabytes(this.most)} that are taken.`);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    decaf.tell(`Looking at ${file.name || "the picture"}…`);
    try {
      const answer = await this.send(file);
      if (turn !== this.turn) return;
      const image = await this.decode(answer.preview);
      this.guest = { name: file.name || "pasted picture", answer, ...image };
      decaf.tell("");
      await this.show();
    } catch (error) {
      if (turn === this.turn) this.complain(error.message);
    }
  }

  async send(file) {
    const kind = "application/octet-stream";
    const reply = await fetch(this.address, { method: "POST", body: new Blob([file], { type: kind }), headers: { "content-type": kind } })
      .catch(() => { throw new Error("The server cannot be reached: is `decaf explore` still running?"); });
    const answer = await reply.json().catch(() => ({ error: "The server gave no answer." }));
    if (!reply.ok) throw new Error(answer.error ?? "The server gave no answer.");
    return answer;
  }

  // What is shown is what the server made of the file; the file itself is never decoded here.
  async decode(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const blob = new Blob([bytes], { type: "image/jpeg" });
    const image = await createImageBitmap(blob);
    if (this.guest) URL.revokeObjectURL(this.guest.url);
    return { image, url: URL.createObjectURL(blob) };
  }

  complain(text) {
    decaf.tell(text);
    clearTimeout(this.complaint);
    this.complaint = setTimeout(() => decaf.el("busy").textContent === text && decaf.tell(""), 8000);
  }

  megabytes(bytes) {
    return `${(bytes / 2 ** 20).toFixed(1)} MB`;
  }

  get here() {
    return this.guest.answer.layers[this.scene.layer];
  }

  // Open the guest beside the map: its neighbours are lit as those of any picture.
  async show(fly = true) {
    const { scene, site, state } = this;
    if (scene.open >= 0) await state.open(-1);
    await Promise.all([site.texts ? null : site.loadPaths(), ...site.columns.map((_, index) => site.loadColumn(index))]);
    if (!this.guest) return;
    this.shown = true;
    this.layer = scene.layer;
    scene.near = this.here.near;
    this.chip.hidden = true;
    decaf.el("detail").hidden = false;
    document.body.classList.add("opened");
    decaf.el("picture").replaceChildren(decaf.make("img", { src: this.guest.url, alt: this.guest.name }));
    decaf.el("path").textContent = this.guest.name;
    decaf.el("facts").replaceChildren(...this.facts());
    const { near, similarity } = this.here;
    decaf.el("near-title").textContent = near.length ? `Nearest in ${site.layers[scene.layer].name}` : "No direction in this layer: all zeros";
    decaf.el("near").replaceChildren(...near.map((row, i) => this.neighbour(row, similarity[i])));
    decaf.say(`Your picture ${this.guest.name}: ${this.words()}`);
    scene.draw();
    if (fly && this.place()) this.fly();
  }

  // See the guest and its neighbours, beside the panel and not below it.
  fly() {
    const { scene } = this;
    const [left, bottom, right, top] = scene.boxOf(this.here.near) ?? [...this.place(), ...this.place()];
    const [x, y] = this.place();
    const view = scene.camera.viewOf([Math.min(left, x), Math.min(bottom, y), Math.max(right, x), Math.max(top, y)]);
    const scale = view.scale * 0.7;
    const stage = decaf.el("stage").getBoundingClientRect(), panel = decaf.el("detail").getBoundingClientRect();
    const beside = panel.width < stage.width * 0.9;
    const [dx, dy] = beside ? [(stage.right - panel.left) / 2, 0] : [0, (stage.bottom - panel.top) / 2];
    decaf.fly({ x: view.x + dx / scale, y: view.y - dy / scale, scale });
  }

  facts() {
    const { net, model, width, height } = this.guest.answer;
    const rows = [["size", `${width} × ${height}`], ...this.list("network", net), ...this.list("model", model)];
    return rows.flatMap(([name, text]) => [decaf.make("dt", {}, name), decaf.make("dd", {}, text)]);
  }

  list(name, said) {
    return (said ?? []).map((one, i) => {
      const score = one.probability !== undefined ? `${(100 * one.probability).toFixed(1)}\u00a0%` : decaf.number(one.margin ?? one.number);
      return [i ? "" : name, `${score}  ${one.label}`];
    });
  }

  words() {
    const { net, model } = this.guest.answer;
    const best = (model ?? net)?.[0];
    return best ? `taken for ${best.label}` : `${this.here.near.length} neighbours`;
  }

  neighbour(row, similarity) {
    const button = this.detail.neighbour(row);
    button.title += `, cosine ${similarity.toFixed(3)}`;
    button.append(decaf.make("span", { class: "name soft" }, similarity.toFixed(3)));
    return button;
  }

  // Another picture was opened: the guest stays on the map, and can be called back.
  leave() {
    this.shown = false;
    this.chip.hidden = !this.guest;
    if (this.guest) this.chip.replaceChildren(decaf.make("img", { src: this.guest.url, alt: "" }), "Your picture");
  }

  forget() {
    if (!this.guest || !this.shown) return;
    URL.revokeObjectURL(this.guest.url);
    this.guest = null;
    this.shown = false;
    this.chip.hidden = true;
    this.scene.near = [];
    decaf.el("detail").hidden = true;
    document.body.classList.remove("opened");
    this.scene.draw();
  }

  // Where the guest is: between two layers on its way, as all points are. null where a layer has no place for it.
  place() {
    const { from, to, share } = this.scene.between;
    const { layers } = this.guest.answer;
    const a = layers[from].place, b = share ? layers[to].place : a;
    return a && b ? [a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share] : null;
  }

  rectangle() {
    const { scene, guest } = this;
    const [x, y] = scene.camera.toScreen(...this.place());
    const side = Math.max(scene.side * 1.25, 72);
    const stretch = Math.min(Math.max(Math.sqrt(guest.image.width / guest.image.height), 0.5), 2);
    return [x - (side / 2) * stretch, y - side / 2 / stretch, side * stretch, side / stretch];
  }

  draw(pen) {
    if (!this.guest || !this.place()) return;
    const { scene, overlay, guest } = this;
    const start = scene.camera.toScreen(...this.place());
    pen.strokeStyle = overlay.accent;
    pen.lineWidth = 1.5;
    if (this.shown) {
      pen.globalAlpha = 0.7;
      pen.beginPath();
      for (const row of scene.near) {
        const end = scene.camera.toScreen(...scene.place(row));
        if (!Number.isFinite(end[0])) continue;
        pen.moveTo(...start);
        pen.lineTo(...end);
      }
      pen.stroke();
      pen.globalAlpha = 1;
    }
    const [left, top, width, height] = this.rectangle();
    pen.fillStyle = overlay.accent;
    pen.fillRect(left - 6, top - 6, width + 12, height + 12);
    pen.fillStyle = overlay.halo;
    pen.fillRect(left - 3, top - 3, width + 6, height + 6);
    pen.drawImage(guest.image, left, top, width, height);
  }

  click(event) {
    if (!this.guest || this.shown || !this.place()) return;
    const box = decaf.el("map").getBoundingClientRect();
    const [left, top, width, height] = this.rectangle();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    if (x >= left && x <= left + width && y >= top && y <= top + height) this.show();
  }
};

decaf.Drop.UNABLE = "The network of these features is not at hand: `decaf explore` has printed what to do.";
