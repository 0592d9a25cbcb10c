// What scripts add to pages that work without them: `/` goes to the search, buttons copy, lists
// are filtered as one types, forms ask before they destroy, and work says how far it is.
"use strict";

const WAIT_MS = 180; // after a key, before the list is asked for

function say(text) {
  document.getElementById("live").textContent = text;
}

function isTyping(target) {
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target)) return;
  event.preventDefault();
  const field = document.querySelector("[data-slash]");
  field.focus();
  field.select();
});

// --- copying ---

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // plain HTTP has no clipboard
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function prepare(root) {
  for (const button of root.querySelectorAll("[data-copy], [data-all]")) button.hidden = false;
  for (const link of root.querySelectorAll("[data-noscript]")) link.hidden = true;
  for (const form of root.querySelectorAll("form[data-select]")) count(form);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy || button.previousElementSibling.textContent;
  const label = button.textContent;
  await copy(text);
  say("Copied");
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = label), 1500);
});

document.addEventListener("submit", (event) => {
  const asked = event.target.dataset.confirm;
  if (asked && !window.confirm(asked)) event.preventDefault();
});

// --- selections: <form data-select>; shift chooses all between two boxes ---

const boxes = (form) => [...form.querySelectorAll(".pick input")];
let last = null; // the box that was clicked before

function count(form) {
  const all = boxes(form);
  const chosen = all.filter((box) => box.checked).length;
  form.querySelector("[data-count]").textContent = chosen ? `${chosen} chosen` : "";
  const every = form.querySelector("[data-all] input");
  every.checked = chosen === all.length;
  every.indeterminate = chosen > 0 && chosen < all.length;
  return chosen;
}

document.addEventListener("click", (event) => {
  const box = event.target.closest("form[data-select] input[type=checkbox]");
  if (!box) return;
  const all = boxes(box.form);
  if (!all.includes(box)) for (const each of all) each.checked = box.checked;
  else if (event.shiftKey && all.includes(last)) {
    const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
    for (const each of all.slice(from, to + 1)) each.checked = box.checked;
  }
  if (all.includes(box)) last = box;
  say(`${count(box.form)} chosen`);
});

// --- lists that follow what is typed: <form data-live="id of the list"> ---

async function follow(form, state) {
  const url = new URL(form.action);
  url.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  state.abort?.abort();
  state.abort = new AbortController();
  const region = document.getElementById(form.dataset.live);
  region.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(url, { signal: state.abort.signal, headers: { Accept: "text/html" } });
    if (answer.redirected) return location.assign(url);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.getElementById(form.dataset.live);
    if (!found) return form.submit();
    region.replaceChildren(...found.childNodes);
    prepare(region);
    history.replaceState(null, "", url);
    say(region.querySelector("[data-say]")?.textContent ?? "The list was updated");
  } catch (error) {
    if (error.name !== "AbortError") form.submit();
  } finally {
    region.removeAttribute("aria-busy");
  }
}

for (const form of document.querySelectorAll("form[data-live]")) {
  const state = {};
  form.addEventListener("input", () => {
    clearTimeout(state.timer);
    state.timer = setTimeout(() => follow(form, state), WAIT_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(state.timer);
    follow(form, state);
  });
}

// --- the search at the head of a page: <form data-find>, whose first results appear below it ---

const SHOWN = 8; // results; Enter shows all of them

async function showFound(form, box, state) {
  const query = new URLSearchParams(new FormData(form));
  state.abort?.abort();
  state.abort = new AbortController();
  const answer = await fetch(`${form.action}?${query}`, { signal: state.abort.signal });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const rows = [...page.querySelectorAll("#results tbody th")].slice(0, SHOWN);
  const said = page.querySelector("#results [data-say]")?.textContent ?? "";
  const parts = rows.map((row) => {
    const item = document.createElement("li");
    item.append(...row.childNodes);
    return item;
  });
  const list = document.createElement("ul");
  list.append(...parts);
  const all = document.createElement("a");
  all.href = `${form.action}?${query}`;
  all.textContent = `${said}: all of them, and what can be asked for`;
  box.replaceChildren(list, all);
  box.hidden = false;
  say(said);
}

for (const form of document.querySelectorAll("form[data-find]")) {
  const box = document.createElement("div");
  const state = {};
  box.className = "found";
  box.hidden = true;
  form.append(box);
  form.addEventListener("input", (event) => {
    clearTimeout(state.timer);
    state.abort?.abort();
    if (event.target.value.trim().length < 2) return (box.hidden = true);
    state.timer = setTimeout(() => showFound(form, box, state).catch(() => (box.hidden = true)), WAIT_MS);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") box.hidden = true;
  });
  form.addEventListener("focusout", (event) => {
    if (!form.contains(event.relatedTarget)) box.hidden = true;
  });
}

// --- what is asked before: <form data-dialog>, whose answer is a page, opens over this one ---

async function ask(form, submitter) {
  const body = new URLSearchParams(new FormData(form, submitter));
  const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const dialog = document.createElement("dialog");
  const heading = page.querySelector("main h1");
  if (!answer.ok || !heading) return form.submit();
  heading.id = "asked";
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.append(...[...page.querySelector("main").children].filter((part) => part.tagName !== "NAV"));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-dialog]");
  if (!form || event.defaultPrevented) return;
  event.preventDefault();
  ask(form, event.submitter).catch(() => form.submit());
});

document.addEventListener("click", (event) => {
  const dialog = event.target.closest("dialog [data-close]")?.closest("dialog");
  if (!dialog) return;
  event.preventDefault();
  dialog.close();
});

// --- what changes by itself: <section id data-refresh="seconds"> ---

async function refresh(region) {
  const from = region.dataset.from ?? location.href;
  const answer = await fetch(from, { headers: { Accept: "text/html" } });
  if (answer.redirected) return location.assign(answer.url); // signed out meanwhile
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = page.getElementById(region.id);
  if (!answer.ok || !found) return; // the server is away, or ends: the next one comes
  region.replaceChildren(...found.childNodes);
  prepare(region);
}

function isUsed(region) {
  const selection = document.getSelection();
  return region.contains(document.activeElement) ||
    (!selection.isCollapsed && region.contains(selection.anchorNode));
}

async function keepFresh(region) {
  for (;;) {
    await new Promise((go) => setTimeout(go, region.dataset.refresh * 1000));
    if (!document.hidden && !isUsed(region)) await refresh(region).catch(() => {});
  }
}

for (const region of document.querySelectorAll("[data-refresh]")) keepFresh(region);

// --- work that takes its time: <form data-work="the call that tells of it"> in a <section id> ---

const WORST = 200; // lines of what is wrong

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n");
    held = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

function sizeText(size) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  for (; size >= 1000 && unit < units.length - 1; unit++) size /= 1024;
  return `${unit ? size.toFixed(1) : size} ${units[unit]}`;
}

function counted(name, value) {
  const words = name.replaceAll("_", " ");
  return name.startsWith("bytes") ? `${words} ${sizeText(value)}` : `${words} ${value.toLocaleString()}`;
}

function summary(report) {
  const wrong = report.drift ?? report.damaged ?? [];
  if (wrong.length) return [wrong.slice(0, WORST).join("\n"), "bad"];
  if (report.drift) return ["All is as it must be.", "good"];
  const parts = Object.entries(report)
    .filter(([name, value]) => typeof value === "number" && value && name !== "duration_seconds")
    .map(([name, value]) => counted(name, value));
  return [`Done: ${parts.join(", ") || "there was nothing to do"}.`, report.standing ? "bad" : "good"];
}

async function work(form, tell) {
  const headers = { Accept: "application/x-ndjson", "X-CSRF-Token": form.elements.csrf.value };
  const answer = await fetch(form.dataset.work, { method: "POST", headers });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `the server answered ${answer.status}`);
  }
  for await (const { progress, report, problem } of lines(answer.body)) {
    if (problem) throw new Error(problem.detail);
    if (report) return summary(report);
    if (progress) tell(`${progress.stage}: ${progress.done.toLocaleString()}`, "warn");
  }
  throw new Error("the server ended before the work did");
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-work]");
  if (!form || event.defaultPrevented) return;
  event.preventDefault();
  const section = form.closest("section");
  const tell = (text, kind) => {
    const told = section.querySelector(".work");
    told.hidden = false;
    told.className = `work told notice ${kind}`;
    told.textContent = text;
  };
  const enable = (is) => section.querySelectorAll("button").forEach((button) => (button.disabled = !is));
  enable(false);
  tell("It begins, and ends when you leave this page.", "warn");
  say("It begins");
  let end;
  try {
    end = await work(form, tell);
  } catch (error) {
    end = [`It did not come to its end: ${error.message}`, "bad"];
  }
  await refresh(section).catch(() => {});
  enable(true);
  section.querySelector(`form[data-work="${form.dataset.work}"] button`)?.focus();
  tell(...end);
  say(end[0]);
});

prepare(document);
