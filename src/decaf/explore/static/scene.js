"use strict";
// What is drawn: where each picture is now, how it looks, which are seen, which is under the pointer.
decaf.Scene = (() => {
  const DOTS_BELOW = 9; // pixels of a picture's side
  const LARGE_FROM = 20;
  const CLOSE = 88, MOST_CLOSE = 250; // from here on the pictures' own files are drawn, if they are not too many
  const MOST_QUADS = 30000;
  const NORMAL = 230, FAINT = 28; // of 255

  return class {
    constructor(site, canvas, overlay) {
      this.site = site;
      this.camera = new decaf.Camera();
      this.painter = new decaf.Painter(canvas);
      this.overlay = new decaf.Overlay(overlay, this);
      this.colour = new Uint8Array(site.count * 4);
      this.colourWords = new Uint32Array(this.colour.buffer);
      this.quads = new decaf.Quads();
      this.top = new decaf.Quads();
      this.position = site.about.first; // of the slider: whole numbers are layers
      this.uploaded = [-1, -1];
      this.mode = "auto";
      this.size = 1;
      this.open = -1;
      this.near = [];
      this.hover = -1;
      this.frames = 0;
      this.asked = 0;
      const { sheet, tile, small, sheets, smallSheets } = site.about.pictures;
      const arrived = () => this.draw();
      this.large = new decaf.Sheets(this.painter, "large", sheets, sheet, tile, 16, arrived);
      this.previews = new decaf.Previews(site, arrived);
      this.small = new decaf.Sheets(this.painter, "small", smallSheets, sheet, small, 32, arrived);
    }

    // The two layers the points are between, and how far they are on the way.
    get between() {
      const from = Math.floor(this.position);
      const to = Math.min(from + 1, this.site.layers.length - 1);
      const t = this.position - from;
      return { from, to, share: t * t * (3 - 2 * t) };
    }

    get layer() {
      return Math.round(this.position);
    }

    place(row) {
      const { from, to, share } = this.between;
      const a = this.site.places[from], b = this.site.places[to] ?? a;
      const x = a[2 * row], y = a[2 * row + 1];
      return share === 0 ? [x, y] : [x + (b[2 * row] - x) * share, y + (b[2 * row + 1] - y) * share];
    }

    async moveTo(position) {
      const from = Math.floor(position);
      const needed = [from, Math.min(from + 1, this.site.layers.length - 1)];
      if (Number.isInteger(position)) needed.pop();
      await Promise.all(needed.map((index) => this.site.loadLayer(index)));
      this.position = position;
      this.draw();
    }

    resize(width, height, ratio) {
      this.ratio = ratio;
      const { canvas } = this.painter;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      this.overlay.resize(width, height, ratio);
      this.camera.resize(width, height);
      this.draw();
    }

    // rgb of a row, which rows are shown at all, and which are faint because others matter more.
    style(scheme, isShown, isFaint) {
      const { colour } = this;
      for (let row = 0, at = 0; row < this.site.count; row++, at += 4) {
        const rgb = scheme.of(row);
        colour[at] = rgb[0];
        colour[at + 1] = rgb[1];
        colour[at + 2] = rgb[2];
        colour[at + 3] = isShown(row) ? (isFaint(row) ? FAINT : NORMAL) : 0;
      }
      this.hasPlaces = [-1, -1];
      this.colourChanged = true;
      this.draw();
    }

    isShown(row) {
      return this.colour[4 * row + 3] > 0 && Number.isFinite(this.place(row)[0]);
    }

    isClear(row) {
      return this.colour[4 * row + 3] === NORMAL;
    }

    // Ask for one frame; however often it is asked for, it is drawn once.
    draw() {
      if (this.asked) return;
      this.asked = requestAnimationFrame(() => {
        this.asked = 0;
        this.frame();
      });
    }

    get side() {
      return this.camera.pictureSide(this.site.count) * this.size;
    }

    get showsPictures() {
      if (!this.site.rank || this.mode === "dots") return false;
      return this.mode === "pictures" || this.side >= DOTS_BELOW;
    }

    frame() {
      const started = performance.now();
      this.upload();
      this.painter.clear(this.paper);
      const seen = this.showsPictures ? this.gather() : 0;
      const close = this.showsPictures && this.side >= CLOSE && seen <= MOST_CLOSE;
      if (!close) {
        if (!this.showsPictures || seen > MOST_QUADS) this.drawDots();
        else this.drawPictures(this.quads, this.side);
        this.drawTop();
      }
      this.overlay.draw(close ? this.closeUps() : []);
      if (this.frames++ === 0) performance.mark("first view");
      this.frameTime = performance.now() - started;
      this.onframe?.();
    }

    upload() {
      const { from, to } = this.between;
      const layers = [from, this.position === from ? from : to];
      const { places } = this.site;
      if (layers[0] !== this.uploaded[0]) this.painter.upload("from", decaf.off(places[layers[0]]));
      if (layers[1] !== this.uploaded[1]) this.painter.upload("to", decaf.off(places[layers[1]]));
      this.uploaded = layers;
      if (this.colourChanged) this.painter.upload("colour", this.colour);
      this.colourChanged = false;
    }

    drawDots() {
      const size = Math.min(Math.max(this.side * 0.5, 2.2), 9);
      this.painter.drawDots(this.camera, this.site.count, this.between.share, size, this.ratio);
    }

    // Put what is seen into quads; returns how many. Faint ones come first, below the others.
    gather() {
      const { camera, site, quads, colour, colourWords } = this;
      const side = Math.max(this.side, DOTS_BELOW);
      const { from, to, share } = this.between;
      const a = site.places[from], b = site.places[this.position === from ? from : to];
      const margin = side / camera.scale;
      const halfWide = camera.width / 2 / camera.scale + margin, halfHigh = camera.height / 2 / camera.scale + margin;
      const left = camera.x - halfWide, right = camera.x + halfWide;
      const [, middle] = camera.toWorld(0, camera.height / 2);
      const bottom = middle - halfHigh, top = middle + halfHigh;
      this.seenLarge = new Map();
      this.seenSmall = new Map();
      this.seen = [];
      quads.count = 0;
      for (let pass = 0; pass < 2; pass++) {
        for (let row = 0; row < site.count; row++) {
          const alpha = colour[4 * row + 3];
          if (pass === 0 ? alpha !== FAINT : alpha !== NORMAL) continue;
          const x = a[2 * row] + (b[2 * row] - a[2 * row]) * share;
          const y = a[2 * row + 1] + (b[2 * row + 1] - a[2 * row + 1]) * share;
          if (!(x > left && x < right && y > bottom && y < top)) continue;
          if (quads.count > MOST_QUADS) return quads.count + 1;
          this.addQuad(quads, row, x, y, side, colourWords[row]);
          if (side >= CLOSE) this.seen.push(row);
        }
      }
      this.small.want(this.seenSmall);
      this.large.want(side >= LARGE_FROM ? this.seenLarge : new Map());
      return quads.count;
    }

    addQuad(quads, row, x, y, side, colour) {
      const { camera, site, large, small } = this;
      const rank = site.rank[row];
      const largeSheet = Math.floor(rank / large.perSheet), smallSheet = Math.floor(rank / small.perSheet);
      this.seenLarge.set(largeSheet, (this.seenLarge.get(largeSheet) ?? 0) + 1);
      this.seenSmall.set(smallSheet, (this.seenSmall.get(smallSheet) ?? 0) + 1);
      const stretch = Math.sqrt(site.aspect[row]);
      quads.add(
        (x - camera.x) * camera.scale + camera.width / 2,
        (camera.y - y) * camera.scale + camera.middle,
        (side / 2) * stretch, side / 2 / stretch,
        small.layerOf[smallSheet], rank % small.perSheet,
        side >= LARGE_FROM ? large.layerOf[largeSheet] : -1, rank % large.perSheet,
        colour,
      );
    }

    drawPictures(quads, side) {
      const frame = side < 16 ? 1 : side < 48 ? 1.5 : 3;
      const across = [this.small.across, this.large.across];
      this.painter.drawQuads(quads, this.camera, this.small.texture, this.large.texture, across, frame);
    }

    // The open picture, its neighbours and the one under the pointer lie above all others, large enough to be seen.
    topRows() {
      const rows = [...this.near, this.hover, this.open].filter((row) => row >= 0 && Number.isFinite(this.place(row)[0]));
      return rows.map((row) => {
        const least = row === this.open ? 64 : row === this.hover ? 48 : 40;
        return [row, Math.max(this.side * (row === this.open ? 1.2 : 1.08), least)];
      });
    }

    drawTop() {
      const rows = this.site.rank ? this.topRows() : [];
      if (!rows.length) return;
      if (!this.showsPictures) {
        this.seenLarge = new Map();
        this.seenSmall = new Map();
      }
      this.top.count = 0;
      for (const [row, side] of rows) this.addQuad(this.top, row, ...this.place(row), side, this.accent);
      this.large.want(this.seenLarge);
      this.drawPictures(this.top, 60);
    }

    // What the overlay draws where pictures are seen large: rows in order, with their file, or else their tile.
    closeUps() {
      const rows = this.seen.map((row) => [row, this.side, this.isClear(row)]);
      const all = [...rows, ...this.topRows().map(([row, side]) => [row, side, true, true])];
      this.previews.want(all.filter(([, , clear]) => clear).map(([row]) => row));
      return all.map(([row, side, clear, top]) => ({
        box: this.rectangle(row, side),
        colour: top ? this.overlay.accent : decaf.colours.css([...this.colour.subarray(4 * row, 4 * row + 3)]),
        alpha: clear ? 1 : 0.18,
        image: this.previews.of(row),
        tile: this.large.tile(this.site.rank[row]),
      }));
    }

    // Where a picture is drawn: left, top, width, height.
    rectangle(row, side = this.side) {
      const [x, y] = this.camera.toScreen(...this.place(row));
      const stretch = Math.sqrt(this.site.aspect[row]);
      return [x - (side / 2) * stretch, y - side / 2 / stretch, side * stretch, side / stretch];
    }

    // The row drawn on top at a place of the screen; -1 where there is none within reach.
    pick(left, top, reach = 8) {
      const { camera, site } = this;
      const pictures = this.showsPictures;
      const side = pictures ? Math.max(this.side, DOTS_BELOW) : 0;
      for (const row of [this.open, ...this.near]) if (row >= 0 && this.covers(row, left, top, 40)) return row;
      const [x, y] = camera.toWorld(left, top);
      let best = -1, least = Infinity;
      for (let row = 0; row < site.count; row++) {
        if (!this.isShown(row)) continue;
        const place = this.place(row);
        const dx = Math.abs(place[0] - x) * camera.scale, dy = Math.abs(place[1] - y) * camera.scale;
        if (pictures) {
          const stretch = Math.sqrt(site.aspect[row]);
          const faint = this.isClear(row) ? 0 : 1;
          if (dx > (side / 2) * stretch + 2 || dy > side / 2 / stretch + 2) continue;
          if (faint <= least) [best, least] = [row, faint]; // the last of the clear ones lies on top
        } else {
          const distance = Math.hypot(dx, dy) + (this.isClear(row) ? 0 : 4);
          if (distance < least && distance <= reach) [best, least] = [row, distance];
        }
      }
      return best;
    }

    covers(row, left, top, least) {
      const [x, y] = this.camera.toScreen(...this.place(row));
      const half = Math.max(this.side, least) / 2;
      return Math.abs(x - left) <= half && Math.abs(y - top) <= half;
    }

    // Rows that are shown clearly and lie where inside(x, y) of the screen says so.
    within(inside) {
      const rows = [];
      for (let row = 0; row < this.site.count; row++) {
        if (!this.isShown(row)) continue;
        if (inside(...this.camera.toScreen(...this.place(row)))) rows.push(row);
      }
      return rows;
    }

    boxOf(rows) {
      let [left, bottom, right, top] = [Infinity, Infinity, -Infinity, -Infinity];
      for (const row of rows) {
        const [x, y] = this.place(row);
        if (!Number.isFinite(x)) continue;
        [left, bottom, right, top] = [Math.min(left, x), Math.min(bottom, y), Math.max(right, x), Math.max(top, y)];
      }
      return left <= right ? [left, bottom, right, top] : null;
    }
  };
})();

// Places for the graphics card: what has none lies far outside, as NaN means nothing certain there.
decaf.off = (places) => places.map((value) => (Number.isFinite(value) ? value : 1e6));
