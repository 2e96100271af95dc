"use strict";
// WebGL: dots for all points at once, and pictures for those that are seen.
decaf.Painter = (() => {
  const DOTS = `#version 300 es
    in vec2 from, to;
    in vec4 colour;
    uniform vec2 centre, scale;
    uniform float share, size;
    out vec4 ink;
    void main() {
      gl_Position = colour.a == 0.0 ? vec4(2, 2, 2, 1) : vec4((mix(from, to, share) - centre) * scale, 0, 1);
      gl_PointSize = size;
      ink = colour;
    }`;
  const DOT = `#version 300 es
    precision highp float;
    in vec4 ink;
    uniform float size;
    out vec4 result;
    void main() {
      float edge = (0.5 - length(gl_PointCoord - 0.5)) * size;
      float cover = size < 2.5 ? 1.0 : clamp(edge + 0.5, 0.0, 1.0);
      if (cover == 0.0) discard;
      result = vec4(ink.rgb, ink.a * cover);
    }`;
  // A picture is a quad: centre and half sides in pixels, then layer and tile of a small and of a large sheet.
  const QUADS = `#version 300 es
    in vec2 corner;
    in vec4 place;
    in vec4 tiles;
    in vec4 colour;
    uniform vec2 screen;
    uniform float frame;
    out vec2 at;
    flat out vec2 half_;
    flat out vec4 where;
    flat out vec4 ink;
    void main() {
      half_ = place.zw + frame;
      at = corner * half_;
      vec2 p = (place.xy + at) / screen * 2.0 - 1.0;
      gl_Position = vec4(p.x, -p.y, 0, 1);
      where = tiles;
      ink = colour;
    }`;
  const QUAD = `#version 300 es
    precision highp float;
    precision highp sampler2DArray;
    in vec2 at;
    flat in vec2 half_;
    flat in vec4 where;
    flat in vec4 ink;
    uniform sampler2DArray small, large;
    uniform vec2 across;
    uniform float frame;
    out vec4 result;
    vec3 tile(sampler2DArray sheets, float layer, float number, float n) {
      vec2 inner = half_ - frame;
      vec2 uv = clamp(at / inner * 0.5 + 0.5, 0.0, 1.0);
      float side = 1024.0 / n;
      float lod = clamp(log2(side / (2.0 * max(inner.x, inner.y))), 0.0, 2.0);
      float rim = 0.5 * exp2(ceil(lod)) / side;
      vec2 cell = vec2(mod(number, n), floor(number / n));
      return textureLod(sheets, vec3((cell + clamp(uv, rim, 1.0 - rim)) / n, layer), lod).rgb;
    }
    void main() {
      vec2 inside = half_ - frame - abs(at);
      vec3 rgb = ink.rgb;
      float alpha = ink.a > 0.5 ? 1.0 : ink.a * 1.6;
      if (min(inside.x, inside.y) >= 0.0) {
        if (where.z >= 0.0) rgb = tile(large, where.z, where.w, across.y);
        else if (where.x >= 0.0) rgb = tile(small, where.x, where.y, across.x);
        else alpha *= 0.35;
      }
      result = vec4(rgb, alpha);
    }`;
  const STRIDE = 36; // bytes of a quad: 8 floats and a colour

  function program(gl, vertex, fragment) {
    const made = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) {
      const logs = gl.getAttachedShaders(made).map((shader) => gl.getShaderInfoLog(shader));
      throw new Error(`the graphics driver refuses a shader: ${logs.join(" ")} ${gl.getProgramInfoLog(made)}`);
    }
    const found = { made };
    const uniforms = gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS);
    for (let i = 0; i < uniforms; i++) {
      const { name } = gl.getActiveUniform(made, i);
      found[name] = gl.getUniformLocation(made, name);
    }
    return found;
  }

  return class {
    constructor(canvas) {
      const options = { alpha: false, antialias: false, depth: false, powerPreference: "high-performance" };
      const gl = canvas.getContext("webgl2", options);
      if (!gl) throw new Error("this browser has no WebGL 2: turn hardware acceleration on, or use another browser");
      this.gl = gl;
      this.canvas = canvas;
      this.dots = program(gl, DOTS, DOT);
      this.quads = program(gl, QUADS, QUAD);
      this.makeDots();
      this.makeQuads();
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    }

    makeDots() {
      const gl = this.gl;
      this.dotArray = gl.createVertexArray();
      gl.bindVertexArray(this.dotArray);
      this.buffers = { from: gl.createBuffer(), to: gl.createBuffer(), colour: gl.createBuffer() };
      this.attribute(this.dots, this.buffers.from, "from", 2, gl.FLOAT, 0, 0, 0);
      this.attribute(this.dots, this.buffers.to, "to", 2, gl.FLOAT, 0, 0, 0);
      this.attribute(this.dots, this.buffers.colour, "colour", 4, gl.UNSIGNED_BYTE, 0, 0, 0);
    }

    makeQuads() {
      const gl = this.gl;
      this.quadArray = gl.createVertexArray();
      gl.bindVertexArray(this.quadArray);
      const corners = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, corners);
      gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
      this.attribute(this.quads, corners, "corner", 2, gl.FLOAT, 0, 0, 0);
      this.quadBuffer = gl.createBuffer();
      this.attribute(this.quads, this.quadBuffer, "place", 4, gl.FLOAT, STRIDE, 0, 1);
      this.attribute(this.quads, this.quadBuffer, "tiles", 4, gl.FLOAT, STRIDE, 16, 1);
      this.attribute(this.quads, this.quadBuffer, "colour", 4, gl.UNSIGNED_BYTE, STRIDE, 32, 1);
      gl.bindVertexArray(null);
    }

    attribute(of, buffer, name, size, kind, stride, offset, divisor) {
      const gl = this.gl;
      const at = gl.getAttribLocation(of.made, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, size, kind, kind === gl.UNSIGNED_BYTE, stride, offset);
      gl.vertexAttribDivisor(at, divisor);
    }

    // which: from, to (2 floats of each point) or colour (4 bytes; alpha 0 is not drawn).
    upload(which, values) {
      const gl = this.gl;
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[which]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    }

    // A stack of sheets in graphics memory, with two smaller copies of each.
    newStack(layers, side) {
      const gl = this.gl;
      const texture = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
      gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 3, gl.RGBA8, side, side, layers);
      gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
      gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
      gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
      gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
      return texture;
    }

    fillLayer(texture, layer, bitmaps) {
      const gl = this.gl;
      gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
      bitmaps.forEach((bitmap, level) => {
        const { width, height } = bitmap;
        gl.texSubImage3D(
          gl.TEXTURE_2D_ARRAY, level, 0, 0, layer, width, height, 1, gl.RGBA, gl.UNSIGNED_BYTE, bitmap,
        );
      });
    }

    clear([red, green, blue]) {
      const gl = this.gl;
      gl.viewport(0, 0, this.canvas.width, this.canvas.height);
      gl.clearColor(red / 255, green / 255, blue / 255, 1);
      gl.clear(gl.COLOR_BUFFER_BIT);
    }

    drawDots(camera, count, share, size, ratio) {
      const gl = this.gl;
      gl.useProgram(this.dots.made);
      gl.uniform2f(this.dots.centre, ...camera.toWorld(camera.width / 2, camera.height / 2));
      gl.uniform2f(this.dots.scale, (2 * camera.scale) / camera.width, (2 * camera.scale) / camera.height);
      gl.uniform1f(this.dots.share, share);
      gl.uniform1f(this.dots.size, size * ratio);
      gl.bindVertexArray(this.dotArray);
      gl.drawArrays(gl.POINTS, 0, count);
    }

    // quads: { bytes, count }; small and large: stacks, or null; frame: pixels.
    drawQuads(quads, camera, small, large, tilesAcross, frame) {
      const gl = this.gl;
      gl.bindBuffer(gl.ARRAY_BUFFER, this.quadBuffer);
      gl.bufferData(gl.ARRAY_BUFFER, quads.bytes.subarray(0, quads.count * STRIDE), gl.DYNAMIC_DRAW);
      gl.useProgram(this.quads.made);
      this.empty ??= this.newStack(1, 4);
      [small, large].forEach((texture, unit) => {
        gl.activeTexture(gl.TEXTURE0 + unit);
        gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture ?? this.empty);
      });
      gl.activeTexture(gl.TEXTURE0);
      gl.uniform1i(this.quads.small, 0);
      gl.uniform1i(this.quads.large, 1);
      gl.uniform2f(this.quads.across, tilesAcross[0], tilesAcross[1]);
      gl.uniform2f(this.quads.screen, camera.width, camera.height);
      gl.uniform1f(this.quads.frame, frame);
      gl.bindVertexArray(this.quadArray);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, quads.count);
    }
  };
})();

// Quads in the layout that the painter reads.
decaf.Quads = class {
  constructor() {
    this.count = 0;
    this.reserve(256);
  }

  reserve(count) {
    const bytes = new Uint8Array(count * 36);
    if (this.bytes) bytes.set(this.bytes);
    this.bytes = bytes;
    this.floats = new Float32Array(bytes.buffer);
    this.words = new Uint32Array(bytes.buffer);
    this.room = count;
  }

  add(x, y, halfWide, halfHigh, smallLayer, smallTile, largeLayer, largeTile, colour) {
    if (this.count === this.room) this.reserve(2 * this.room);
    const at = this.count++ * 9;
    const { floats } = this;
    floats[at] = x;
    floats[at + 1] = y;
    floats[at + 2] = halfWide;
    floats[at + 3] = halfHigh;
    floats[at + 4] = smallLayer;
    floats[at + 5] = smallTile;
    floats[at + 6] = largeLayer;
    floats[at + 7] = largeTile;
    this.words[at + 8] = colour;
  }
};
