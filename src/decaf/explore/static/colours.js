"use strict";
// A colour for each row: by category or by number, for light and dark paper.
decaf.colours = (() => {
  const GREY = { light: [150, 154, 160], dark: [112, 118, 128] };

  const parse = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  // From OKLCH (Ottosson, 2020) to sRGB: equal steps of hue look equally far apart.
  function oklch(lightness, chroma, hue) {
    const a = chroma * Math.cos((hue * Math.PI) / 180);
    const b = chroma * Math.sin((hue * Math.PI) / 180);
    const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
    return [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ].map((value) => {
      const shown = value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055;
      return Math.round(Math.min(Math.max(shown, 0), 1) * 255);
    });
  }

  // A few categories get the colours of the figures; many get hues a golden angle apart, the most frequent first.
  function ofCategories(counts, series, dark) {
    const byCount = counts.map((_, code) => code).sort((a, b) => counts[b] - counts[a]);
    const colours = new Array(counts.length);
    byCount.forEach((code, rank) => {
      if (counts.length <= series.length) colours[code] = parse(series[code]);
      else colours[code] = oklch([0.62, 0.74, 0.5][rank % 3] + (dark ? 0.1 : 0), 0.15, (rank * 137.508 + 250) % 360);
    });
    return colours;
  }

  function ofNumber(share, ramp) {
    const at = Math.min(Math.max(share, 0), 1) * (ramp.length - 1);
    const low = Math.min(Math.floor(at), ramp.length - 2);
    return ramp[low].map((value, i) => Math.round(value + (ramp[low + 1][i] - value) * (at - low)));
  }

  // { of(row), categories, ramp }: the colours of a column.
  function scheme(site, index, dark) {
    const palette = site.about.palette;
    const grey = GREY[dark ? "dark" : "light"];
    if (index < 0) return { of: () => parse((dark ? palette.dark : palette.light)[0]), grey };
    const column = site.columns[index];
    const values = site.values[index];
    if (column.kind === "number") {
      const ramp = palette.numbers.map(parse);
      const span = column.greatest - column.least || 1;
      const of = (row) =>
        Number.isFinite(values[row]) ? ofNumber((values[row] - column.least) / span, ramp) : grey;
      return { of, ramp, grey };
    }
    column.counts ??= countCodes(values, column.names.length);
    const categories = ofCategories(column.counts, dark ? palette.dark : palette.light, dark);
    return { of: (row) => (values[row] < 0 ? grey : categories[values[row]]), categories, grey };
  }

  function countCodes(values, length) {
    const counts = new Array(length).fill(0);
    for (const code of values) if (code >= 0) counts[code]++;
    return counts;
  }

  return { scheme, css: (rgb) => `rgb(${rgb.join(" ")})`, parse };
})();
