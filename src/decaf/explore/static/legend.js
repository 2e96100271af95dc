"use strict";
// Which colour is what, how many there are, and a click shows these alone.
decaf.MOST_ENTRIES = 500; // shown at once; a search finds the others

decaf.Legend = class {
  constructor(state) {
    this.state = state;
    this.site = state.site;
    const options = this.site.columns.map((column, index) => decaf.make("option", { value: index }, column.name));
    decaf.el("column").append(...options, decaf.make("option", { value: -1 }, "nothing"));
    decaf.el("column").addEventListener("change", (event) => state.colourBy(Number(event.target.value)));
    decaf.el("legend-search").addEventListener("input", () => this.fill());
    decaf.el("legend-clear").addEventListener("click", () => this.clear());
    state.on("coloured", () => this.show());
    state.on("filtered", () => this.mark());
  }

  clear() {
    for (const index of [...this.state.filters.keys()]) this.state.filterBy(index, null);
    this.show();
  }

  show() {
    const { state, site } = this;
    const column = site.columns[state.column];
    decaf.el("column").value = state.column;
    const many = column?.kind === "category" && column.names.length > 12;
    decaf.el("legend-search").hidden = !many;
    decaf.el("legend-search").value = "";
    this.fill();
  }

  fill() {
    const column = this.site.columns[this.state.column];
    this.entries = new Map();
    const parts = !column ? [] : column.kind === "number" ? this.ramp(column) : this.list(column);
    decaf.el("legend").replaceChildren(...parts);
    this.mark();
  }

  list(column) {
    const unknown = this.site.count - column.counts.reduce((sum, n) => sum + n, 0);
    const word = decaf.el("legend-search").value.toLowerCase();
    const order = column.names.map((_, code) => code).filter((code) => column.names[code].toLowerCase().includes(word));
    if (column.names.length <= 30) order.sort((a, b) => column.counts[b] - column.counts[a]);
    const shown = order.slice(0, decaf.MOST_ENTRIES);
    const entries = shown.map((code) => this.entry(code, column.names[code], column.counts[code]));
    const list = decaf.make("ul", { class: "entries" }, ...entries);
    if (unknown && !word) list.append(this.entry(-1, "not known", unknown));
    const left = order.length - shown.length;
    if (left) list.append(decaf.make("li", { class: "range" }, `and ${left.toLocaleString("en")} more: find them above`));
    list.addEventListener("pointerleave", () => this.state.point(null));
    return [list];
  }

  entry(code, name, count) {
    const { scheme } = this.state;
    const swatch = decaf.make("span", { class: "swatch" });
    swatch.style.background = decaf.colours.css(code < 0 ? scheme.grey : scheme.categories[code]);
    const button = decaf.make(
      "button",
      {
        type: "button", class: "entry", "aria-pressed": "false", title: name,
        onclick: () => this.toggle(code),
        onpointerenter: (event) => event.pointerType === "mouse" && this.state.point(code),
      },
      swatch, decaf.make("span", { class: "name" }, name), decaf.make("span", { class: "n" }, count.toLocaleString("en")),
    );
    this.entries.set(code, button);
    return decaf.make("li", {}, button);
  }

  toggle(code) {
    const { state } = this;
    const codes = new Set(state.filters.get(state.column) ?? []);
    if (!codes.delete(code)) codes.add(code);
    state.pointed = null;
    state.filterBy(state.column, codes);
  }

  // A bar of colours, and two handles for the least and the greatest number that is shown.
  ramp(column) {
    const { state } = this;
    const index = state.column;
    const bar = decaf.make("div", { class: "ramp", role: "img", "aria-label": `from ${decaf.number(column.least)} to ${decaf.number(column.greatest)}` });
    bar.style.background = `linear-gradient(to right, ${state.scheme.ramp.map(decaf.colours.css).join(", ")})`;
    const span = column.greatest - column.least;
    const kept = state.filters.get(index) ?? [column.least, column.greatest];
    const handle = (which, value) => decaf.make("input", {
      type: "range", min: column.least, max: column.greatest, step: "any", value,
      "aria-label": `${which} ${column.name}`,
    });
    const [low, high] = [handle("Least", kept[0]), handle("Greatest", kept[1])];
    const range = decaf.make("p", { class: "range" });
    const tell = () => {
      range.textContent = `${decaf.number(Number(low.value))} to ${decaf.number(Number(high.value))}`;
    };
    const change = () => {
      const [a, b] = [Number(low.value), Number(high.value)].sort((x, y) => x - y);
      const whole = a <= column.least + 1e-6 * span && b >= column.greatest - 1e-6 * span;
      tell();
      state.filterBy(index, whole ? null : [a, b]);
    };
    low.addEventListener("input", change);
    high.addEventListener("input", change);
    tell();
    return [bar, low, high, range];
  }

  mark() {
    const { state } = this;
    const codes = state.filters.get(state.column);
    for (const [code, button] of this.entries) button.setAttribute("aria-pressed", String(Boolean(codes?.has?.(code))));
    decaf.el("legend").classList.toggle("filtered", codes instanceof Set);
    decaf.el("legend-clear").hidden = state.filters.size === 0;
    decaf.el("legend-tools").hidden = decaf.el("legend-search").hidden && state.filters.size === 0;
  }
};
