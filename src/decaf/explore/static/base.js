"use strict";
// Everything of the page hangs on this one object. Data scripts call decaf.describe and decaf.chunk.
const decaf = {};

// Data comes as scripts that hand over base64: the one way that works from file:// as well as from a server.
decaf.data = (() => {
  const waiting = new Map();
  const scripts = new Map();
  let version = "";

  function decode(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  }

  function deliver(name, value) {
    const entry = waiting.get(name);
    waiting.delete(name);
    if (entry) entry.resolve(value);
  }

  function load(name) {
    const promise = new Promise((resolve, reject) => waiting.set(name, { resolve, reject }));
    const script = document.createElement("script");
    script.src = `data/${name}.js${version}`;
    const fail = (why) => {
      scripts.delete(name);
      const entry = waiting.get(name);
      waiting.delete(name);
      if (entry) entry.reject(new Error(`data/${name}.js ${why}`));
    };
    script.onerror = () => fail("cannot be loaded");
    script.onload = () => {
      script.remove();
      if (waiting.has(name)) fail("is damaged");
    };
    document.head.append(script);
    return promise;
  }

  decaf.chunk = (name, text) => deliver(name, decode(text));
  decaf.describe = (about) => {
    version = `?${about.digest}`;
    deliver("site", about);
  };

  return {
    about: () => load("site"),
    // Bytes of a chunk. Kept: asked for once, given to everyone.
    bytes(name) {
      if (!scripts.has(name)) scripts.set(name, load(name));
      return scripts.get(name);
    },
    // Bytes of a chunk that whoever asks will keep.
    once: (name) => load(name),
  };
})();

decaf.el = (id) => document.getElementById(id);

// An element with attributes and children; text is text, never markup.
decaf.make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

decaf.count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
