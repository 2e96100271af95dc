"use strict";
// Which part of the map is seen. The world is the square from -1 to 1, y upwards; the screen is in CSS pixels.
decaf.Camera = class {
  constructor() {
    // inset: pixels at the foot that are covered by something else
    Object.assign(this, { x: 0, y: 0, scale: 300, width: 1, height: 1, fitted: 300, inset: 0 });
  }

  resize(width, height) {
    const zoom = this.zoom;
    this.width = Math.max(width, 1);
    this.height = Math.max(height, 1);
    this.fitted = Math.min(this.width, this.height - this.inset) / 2.12;
    this.scale = this.fitted * zoom;
  }

  // How many times larger than when all is seen.
  get zoom() {
    return this.scale / this.fitted;
  }

  get middle() {
    return (this.height - this.inset) / 2;
  }

  toScreen(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (this.y - y) * this.scale + this.middle];
  }

  toWorld(left, top) {
    return [(left - this.width / 2) / this.scale + this.x, this.y - (top - this.middle) / this.scale];
  }

  panBy(dx, dy) {
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
    this.clamp();
  }

  // Zoom so that what is at (left, top) stays there.
  zoomAt(factor, left, top) {
    const [x, y] = this.toWorld(left, top);
    this.scale = Math.min(Math.max(this.scale * factor, this.fitted * 0.5), this.fitted * 4000);
    const [newX, newY] = this.toWorld(left, top);
    this.x += x - newX;
    this.y += y - newY;
    this.clamp();
  }

  clamp() {
    this.x = Math.min(Math.max(this.x, -1.2), 1.2);
    this.y = Math.min(Math.max(this.y, -1.2), 1.2);
  }

  view() {
    return { x: this.x, y: this.y, scale: this.scale };
  }

  set({ x, y, scale }) {
    Object.assign(this, { x, y, scale });
  }

  // The view that shows a box of the world, with some room around.
  viewOf([left, bottom, right, top], room = 1.25, most = 60) {
    const wide = Math.max(right - left, 1e-6) * room;
    const high = Math.max(top - bottom, 1e-6) * room;
    const scale = Math.min(this.width / wide, (this.height - this.inset) / high, this.fitted * most);
    return { x: (left + right) / 2, y: (bottom + top) / 2, scale };
  }

  // The larger a map is drawn, the larger its pictures, but less so: zooming in takes them apart.
  pictureSide(count) {
    return ((1.8 * this.fitted) / Math.sqrt(count)) * this.zoom ** 0.7;
  }
};
