// The strip in the header: how each part of the site is. A click says what it means and what to do.

import { every } from "./parts.js";
import { put } from "./tile.js";

const strip = document.getElementById("health");
/** On a phone: shows the parts that are hidden there while they are well. */
const more = document.getElementById("health-more");
const detail = document.getElementById("health-detail");
const PART_NAMES = { tick: "Tick", skew: "Skew", cameras: "Cameras", workers: "Workers", aggregator: "Aggregator", services: "Services", redis: "Redis" };
const WHAT = {
  tick: "The number of the present moment: at each tick, every camera handles one picture.",
  skew: "By how many ticks the slowest camera is behind the fastest.",
  cameras: "How many cameras are live, of how many.",
  workers: "The processes that find and track objects in the pictures.",
  aggregator: "The process that gives identities their numbers.",
  services: "All processes of this site.",
  redis: "The server through which all processes talk.",
};
const LEVEL_NAMES = { good: "good", doubtful: "needs a look", bad: "bad", unknown: "unknown" };
let parts = [];
let chosen = null;

/** @param {Array<{part: string, level: string, value: string, text: string, advice: string}>} health */
export function showHealth(health) {
  parts = health;
  while (strip.children.length > health.length) strip.lastChild.remove();
  while (strip.children.length < health.length) strip.append(partItem());
  health.forEach((part, index) => {
    const item = /** @type {HTMLElement} */ (strip.children[index]);
    const button = item.firstElementChild;
    item.dataset.part = part.part;
    item.dataset.level = part.level;
    const [value, name] = button.children;
    put(value, part.value);
    put(name, PART_NAMES[part.part] || part.part);
    const label = `${PART_NAMES[part.part] || part.part} ${part.value}: ${LEVEL_NAMES[part.level] || part.level}`;
    if (button.getAttribute("aria-label") !== label) button.setAttribute("aria-label", label);
  });
  showDetail();
}

function partItem() {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", "health-detail");
  button.append(document.createElement("span"), document.createElement("span"));
  button.firstElementChild.className = "value";
  button.addEventListener("click", () => {
    chosen = chosen === item.dataset.part ? null : item.dataset.part;
    showDetail();
  });
  item.append(button);
  return item;
}

function showDetail() {
  const part = parts.find((one) => one.part === chosen);
  for (const item of every("li", strip)) item.firstElementChild.setAttribute("aria-expanded", String(item.dataset.part === chosen));
  detail.hidden = part === undefined;
  if (part) {
    detail.dataset.level = part.level;
    put(detail.querySelector("strong"), `${PART_NAMES[part.part] || part.part} ${part.value}.`);
    put(detail.querySelector("span"), [WHAT[part.part], `Now: ${part.text}.`, part.advice ? `What to do: ${part.advice}.` : "Nothing to do."].filter(Boolean).join(" "));
  }
}

more.addEventListener("click", () => {
  const all = strip.toggleAttribute("data-all");
  more.setAttribute("aria-expanded", String(all));
});
detail.querySelector("button").addEventListener("click", close);
window.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen !== null) close();
});

function close() {
  const [button] = every(`[data-part="${chosen}"] button`, strip);
  chosen = null;
  showDetail();
  button.focus();
}
