"use strict";
// The pictures' own files, drawn where a few are seen large. A file from the disk may be drawn on a plain canvas but not
// by WebGL, which is why this is not one more sheet.
decaf.Previews = class {
  constructor(site, changed) {
    this.site = site;
    this.changed = changed;
    this.images = new Map(); // row -> image, the latest used last
    this.loading = 0;
  }

  // Load the images of rows that are seen, in this order.
  want(rows) {
    this.wanted = rows;
    this.next();
  }

  // The image of a row, if it is there.
  of(row) {
    const image = this.images.get(row);
    return image?.done ? image : null;
  }

  next() {
    for (const row of this.wanted) {
      if (this.loading >= 6) return;
      const image = this.images.get(row);
      if (image) {
        this.images.delete(row); // to the end: it is in use
        this.images.set(row, image);
      } else if (this.site.file(row) && !this.site.problems.has(row)) {
        this.load(row);
      }
    }
    for (const row of this.images.keys()) {
      if (this.images.size <= 400) return;
      this.images.delete(row);
    }
  }

  load(row) {
    const image = new Image();
    this.images.set(row, image);
    this.loading++;
    const finish = (done) => {
      image.done = done;
      this.loading--;
      this.next();
      if (done) this.changed();
    };
    image.onload = () => finish(true);
    image.onerror = () => finish(false);
    image.decoding = "async";
    image.src = this.site.file(row);
  }
};
