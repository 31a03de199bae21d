"use strict";
(() => {
  const NARROW = 560; // pixels of a figure's own width, below which its narrow layout applies
  const PRINT = 650; // pixels of a printed page's text
  const root = document.documentElement;
  const frames = [...document.querySelectorAll(".plot")];
  const coarse = matchMedia("(pointer: coarse)").matches;
  const configFor = (width) => ({
    displaylogo: false,
    displayModeBar: coarse || width < NARROW ? false : "hover",
    showSendToCloud: false, // nothing leaves this page
    plotlyServerURL: "",
    responsive: false,
    showTips: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  });

  function put(target, path, value) {
    const keys = path.split(".");
    const last = keys.pop();
    for (const key of keys) target = target[key] ??= {};
    target[last] = value;
  }

  function layoutFor(figure, width) {
    const layout = structuredClone(figure.layout);
    const narrow = layout.meta?.narrow ?? {};
    if (width < NARROW) for (const [path, value] of Object.entries(narrow)) put(layout, path, value);
    if (coarse) layout.dragmode = false; // a finger on a figure scrolls the page
    layout.width = width;
    layout.autosize = false;
    return layout;
  }

  function draw(frame, width = frame.clientWidth) {
    if (!width || frame.drawnWidth === width) return undefined;
    frame.drawnWidth = width;
    return Plotly.react(frame, frame.figure.data, layoutFor(frame.figure, width), configFor(width));
  }

  async function library() {
    const holder = document.getElementById("library");
    const packed = Uint8Array.from(atob(holder.textContent), (c) => c.charCodeAt(0));
    holder.remove();
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  async function drawAll() {
    if (!frames.length) return;
    root.classList.add("drawing");
    for (const frame of frames) {
      frame.figure = JSON.parse(document.querySelector(`script[data-for="${frame.dataset.figure}"]`).textContent);
      frame.style.minHeight = `${frame.dataset.height}px`;
    }
    await library();
    for (const frame of frames) {
      await draw(frame);
      frame.style.minHeight = "";
    }
    let pending = 0;
    const redraw = () => {
      clearTimeout(pending);
      pending = setTimeout(() => frames.forEach((frame) => draw(frame)), 120);
    };
    const watcher = new ResizeObserver(redraw);
    frames.forEach((frame) => watcher.observe(frame));
    addEventListener("beforeprint", () => frames.forEach((frame) => draw(frame, PRINT)));
    addEventListener("afterprint", () => frames.forEach((frame) => draw(frame)));
  }

  function followReading() {
    const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
    const parts = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
    const mark = () => {
      const end = innerHeight + scrollY >= root.scrollHeight - 4;
      const here = end ? parts.at(-1) : parts.findLast((part) => part.getBoundingClientRect().top < 0.3 * innerHeight) ?? parts[0];
      for (const [id, link] of links) {
        if (id === here.id) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    };
    addEventListener("scroll", mark, { passive: true });
    mark();
  }

  followReading();
  drawAll()
    .then(() => {
      root.classList.remove("drawing");
      root.classList.add("drawn");
      root.dataset.figures = "drawn";
    })
    .catch((error) => {
      root.classList.remove("drawing");
      root.dataset.figures = "failed";
      console.error("the figures could not be drawn:", error);
    });
})();
