"use strict";
// Sheets of tiles: those that are needed most are held in graphics memory, the rest stay where they are.
decaf.Sheets = class {
  // kind: large or small; count: of all sheets; held: at once; changed: called when one arrived.
  constructor(painter, kind, count, side, tile, held, changed) {
    Object.assign(this, { painter, kind, count, side, changed });
    this.perSheet = (side / tile) ** 2;
    this.across = side / tile;
    this.held = Math.min(count, held);
    this.layerOf = new Int16Array(count).fill(-1);
    this.inLayer = new Int32Array(this.held).fill(-1);
    this.wanted = new Map(); // sheet -> how many of its pictures are seen
    this.loading = new Set();
    this.failed = new Set();
    this.texture = null;
    this.bitmaps = []; // of each layer, for drawing without WebGL
  }

  // Say that pictures of these sheets are seen: sheet -> how many.
  want(wanted) {
    this.wanted = wanted;
    this.next();
  }

  next() {
    if (this.loading.size >= 3) return;
    const missing = [...this.wanted]
      .sort((a, b) => b[1] - a[1])
      .slice(0, this.held)
      .find(([sheet]) => this.layerOf[sheet] < 0 && !this.loading.has(sheet) && !this.failed.has(sheet));
    if (!missing) return;
    this.load(missing[0]);
    this.next();
  }

  async load(sheet) {
    this.loading.add(sheet);
    try {
      const bytes = await decaf.data.once(`${this.kind}-${sheet}`);
      const whole = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
      const halves = [2, 4].map((step) =>
        createImageBitmap(whole, {
          resizeWidth: whole.width / step, resizeHeight: whole.height / step, resizeQuality: "medium",
        }),
      );
      const bitmaps = [whole, ...(await Promise.all(halves))];
      this.put(sheet, bitmaps);
      bitmaps.slice(1).forEach((bitmap) => bitmap.close());
    } catch (error) {
      this.failed.add(sheet);
      decaf.tell?.(`Pictures are missing: ${error.message}`);
    } finally {
      this.loading.delete(sheet);
      this.changed();
      this.next();
    }
  }

  put(sheet, bitmaps) {
    this.texture ??= this.painter.newStack(this.held, this.side);
    let layer = this.inLayer.indexOf(-1);
    if (layer < 0) layer = this.leastWanted();
    if (this.inLayer[layer] >= 0) this.layerOf[this.inLayer[layer]] = -1;
    this.painter.fillLayer(this.texture, layer, bitmaps);
    this.bitmaps[layer]?.close();
    if (this.kind === "large") this.bitmaps[layer] = bitmaps[0];
    else bitmaps[0].close();
    this.inLayer[layer] = sheet;
    this.layerOf[sheet] = layer;
  }

  // Where the tile of a rank lies: on which bitmap, and where there; null where its sheet is not held.
  tile(rank) {
    const sheet = this.bitmaps[this.layerOf[Math.floor(rank / this.perSheet)]];
    const number = rank % this.perSheet;
    const side = this.side / this.across;
    return sheet ? { sheet, left: (number % this.across) * side, top: Math.floor(number / this.across) * side, side } : null;
  }

  leastWanted() {
    let best = 0;
    this.inLayer.forEach((sheet, layer) => {
      if ((this.wanted.get(sheet) ?? 0) < (this.wanted.get(this.inLayer[best]) ?? 0)) best = layer;
    });
    return best;
  }
};
