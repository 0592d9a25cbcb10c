// What a page must hold for whoever cannot see it, or sees little: WCAG 2.2 AA, as far as a program
// can tell. Each function returns what breaks its rule. They run in the page, by playwright.
const isShown = (e) => {
  if (!e.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})) return false;
  const box = e.getBoundingClientRect();
  return box.width > 1 && box.height > 1;
};
const told = (e) => `${e.tagName.toLowerCase()} ${(e.id || e.name || e.textContent).trim().slice(0, 40)}`;
const all = (what) => [...document.querySelectorAll(what)];

// Source: accname-1.2, in the part that pages of ours use.
function names() {
  const byIds = (e, which) => (e.getAttribute(which) || "").split(/\s+/).filter(Boolean)
    .map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
  const name = (e) => (byIds(e, "aria-labelledby") || e.getAttribute("aria-label")
    || [...(e.labels ?? [])].map((each) => each.textContent).join(" ") || e.textContent
    || [...e.querySelectorAll("img")].map((each) => each.alt).join(" ")
    || e.title || "").trim();
  return all("a[href], button, input:not([type=hidden]), select, textarea, summary")
    .filter((e) => isShown(e) && !name(e)).map(told);
}

function structure() {
  const found = [];
  if (document.documentElement.lang !== "en") found.push("no language");
  if (!document.title.trim()) found.push("no title");
  if (all("h1").filter(isShown).length !== 1) found.push(`${all("h1").length} headings of the page`);
  if (all("main").length !== 1) found.push("not one main part");
  let last = 0;
  for (const e of all("h1, h2, h3, h4").filter(isShown)) {
    const level = Number(e.tagName[1]);
    if (level > last + 1) found.push(`${told(e)} below a heading of level ${last}`);
    last = level;
  }
  const ids = all("[id]").map((e) => e.id);
  for (const id of ids.filter((id, at) => ids.indexOf(id) !== at)) found.push(`twice the id ${id}`);
  for (const e of all("[for], [aria-describedby], [aria-labelledby]"))
    for (const which of ["for", "aria-describedby", "aria-labelledby"])
      for (const id of (e.getAttribute(which) || "").split(/\s+/).filter(Boolean))
        if (!ids.includes(id)) found.push(`${told(e)} names ${id}, which is not there`);
  for (const e of all("img:not([alt])")) found.push(`${told(e)} has no alt`);
  for (const e of all("nav")) if (all("nav").length > 1 && !e.ariaLabel) found.push("a nav without a name");
  for (const e of all("table")) if (!e.querySelector("th")) found.push(`${told(e)} has no heads`);
  for (const e of all("[style], [onclick], style, script:not([src])")) found.push(`inline: ${told(e)}`);
  if (document.documentElement.scrollWidth > window.innerWidth)
    found.push(`${document.documentElement.scrollWidth} pixels wide`);
  return found;
}

// Source: WCAG 2.2, 1.4.3 and "relative luminance". Every ground of ours lies on an opaque one.
function contrast() {
  const parse = (text) => {
    const srgb = text.match(/color\(srgb ([^)]*)\)/);
    const [r, g, b, a = 1] = (srgb ? srgb[1] : text).match(/[\d.]+/g).map(Number);
    return srgb ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = (top, ground) => top.slice(0, 3).map((v, at) => v * top[3] + ground[at] * (1 - top[3]));
  const ground = (e) => {
    if (!e) return [255, 255, 255];
    const own = parse(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, ground(e.parentElement));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !isShown(e)) continue;
    const style = getComputedStyle(e);
    const back = ground(e);
    const pair = [light(over(parse(style.color), back)), light(back)].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) found.add(`${told(e)}: ${ratio.toFixed(2)}`);
  }
  return [...found];
}

function focused() {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const style = getComputedStyle(e);
  return {told: told(e), isSeen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1};
}

function reachable() {
  return all("a[href], button, input:not([type=hidden]), select, textarea, summary")
    .filter((e) => isShown(e) || e.classList.contains("skip")).length;
}

// What the page says, without buttons that need scripts and without what time changes.
function words() {
  const main = document.querySelector("main").cloneNode(true);
  for (const e of main.querySelectorAll("[data-copy], time")) e.remove();
  return main.textContent.split(/\s+/).filter(Boolean);
}
