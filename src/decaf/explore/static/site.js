"use strict";
// What the page shows: columns, places and texts, loaded when they are first needed.
decaf.Site = class {
  constructor(about) {
    this.about = about;
    this.count = about.count;
    this.layers = about.layers;
    this.columns = about.columns;
    this.places = new Array(about.layers.length).fill(null);
    this.values = new Array(about.columns.length).fill(null);
    this.near = new Array(about.layers.length).fill(null);
    this.texts = null;
    this.label = about.label; // the column that says what a picture is; -1 where none does
    this.problems = new Map(Object.entries(about.pictures.problems).map(([row, why]) => [Number(row), why]));
  }

  static async open() {
    const about = await decaf.data.about();
    if (about.format !== 1) throw new Error(`the data are of format ${about.format}; this page reads format 1`);
    return new decaf.Site(about);
  }

  async loadLayer(index) {
    if (!this.places[index]) {
      const bytes = await decaf.data.bytes(`layout-${index}`);
      this.places[index] = new Float32Array(bytes.buffer, bytes.byteOffset, this.count * 2);
    }
    return this.places[index];
  }

  async loadColumn(index) {
    if (!this.values[index]) {
      const bytes = await decaf.data.bytes(`column-${index}`);
      const Kind = this.columns[index].kind === "number" ? Float32Array : Int16Array;
      this.values[index] = new Kind(bytes.buffer, bytes.byteOffset, this.count);
    }
    return this.values[index];
  }

  // (n * k) the nearest rows of each row in a layer; -1 where there are fewer.
  async loadNear(index) {
    if (!this.layers[index].near) return null;
    if (!this.near[index]) {
      const bytes = await decaf.data.bytes(`near-${index}`);
      this.near[index] = new Int32Array(bytes.buffer, bytes.byteOffset, this.count * this.layers[index].near);
    }
    return this.near[index];
  }

  // Which tile of which sheet each picture has, its shape, and the ending of its own file.
  async loadPictures() {
    const [order, aspect, endings] = await Promise.all(["order", "aspect", "endings"].map(decaf.data.bytes));
    const rows = new Int32Array(order.buffer, order.byteOffset, this.count);
    this.rank = new Int32Array(this.count);
    for (let i = 0; i < rows.length; i++) this.rank[rows[i]] = i;
    this.aspect = new Float32Array(aspect.buffer, aspect.byteOffset, this.count);
    this.endings = endings;
  }

  async loadPaths() {
    const bytes = await decaf.data.bytes("paths");
    const offsets = new Uint32Array(bytes.buffer, bytes.byteOffset, this.count + 1);
    this.texts = { offsets, letters: bytes.subarray(4 * (this.count + 1)), decoder: new TextDecoder() };
  }

  path(row) {
    if (!this.texts) return "";
    const { offsets, letters, decoder } = this.texts;
    return decoder.decode(letters.subarray(offsets[row], offsets[row + 1]));
  }

  // Where a picture's own file is; empty where there is none.
  file(row) {
    const { served, files } = this.about.pictures;
    if (served) return `${served}/${row}?${this.about.digest}`;
    const ending = this.endings ? files[this.endings[row]] : "";
    return ending ? `pictures/${Math.floor(row / 1000)}/${row}${ending}` : "";
  }

  // The file as it is, where a server gives it out; else what `file` gives.
  original(row) {
    return this.about.pictures.served ? `original/${row}` : this.file(row);
  }

  // What a column says of a row, as text; empty where it says nothing.
  text(index, row) {
    const values = this.values[index];
    const column = this.columns[index];
    if (!values) return "";
    if (column.kind === "number") return Number.isFinite(values[row]) ? decaf.number(values[row]) : "";
    return values[row] < 0 ? "" : column.names[values[row]];
  }

  hasPlace(index, row) {
    const places = this.places[index];
    return places !== null && Number.isFinite(places[2 * row]);
  }

  // Rows whose path, or a text of any column, holds all the words.
  async find(query) {
    const words = query.toLowerCase().normalize("NFC").split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    if (!this.texts) await this.loadPaths();
    await Promise.all(this.columns.map((_, index) => this.loadColumn(index)));
    if (!this.lower) {
      this.lower = Array.from({ length: this.count }, (_, row) => this.path(row).toLowerCase().normalize("NFC"));
    }
    const categories = this.columns
      .map((column, index) => ({ column, values: this.values[index] }))
      .filter(({ column }) => column.kind === "category" && column.search !== false);
    const tests = words.map((word) => {
      const hits = categories.map(({ column, values }) => ({
        values,
        names: column.names.map((name) => name.toLowerCase().normalize("NFC").includes(word)),
      }));
      return (row) => this.lower[row].includes(word) || hits.some(({ values, names }) => names[values[row]]);
    });
    const found = [];
    for (let row = 0; row < this.count; row++) if (tests.every((test) => test(row))) found.push(row);
    return found;
  }
};

decaf.number = (value) => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
};
