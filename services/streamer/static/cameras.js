// The view "Cameras": their states; an operator adds, pauses, resumes and removes them.

import { go } from "./navigation.js";
import { showNetworks } from "./networks.js";
import { body, guarded, isOperator, keepFocus, readCameras } from "./panel_body.js";
import { every, h, repeat, request } from "./parts.js";

const EVERY_MS = 1500;
const STATES = { live: "live", starting: "starting", waiting: "waiting for a worker", stalled: "stalled", frozen: "frozen", blank: "blank picture", moving: "moving", moved: "moved", down: "no signal", ended: "ended", paused: "paused" };

/** @returns {() => void} stops it */
export function showCameras() {
  const abort = new AbortController();
  const list = h("ul", { class: "camera-list" });
  const said = h("p", { class: "said", role: "status" });
  const networks = h("div", { class: "networks" });
  const ofNetworks = h("details", { class: "of-networks", ontoggle: () => ofNetworks.open && showNetworks(networks, abort.signal).catch(() => {}) }, h("summary", {}, "What finds objects here"), networks);
  body.replaceChildren(...(isOperator ? [addForm(abort.signal)] : []), said, list, ofNetworks);

  async function change(method, path, content, done) {
    said.textContent = "…";
    try {
      await request(method, path, content, abort.signal);
      said.textContent = done;
      await draw(abort.signal);
    } catch (error) {
      if (error.name !== "AbortError") said.textContent = `Not done: ${error.message}.`;
    }
  }

  function item(camera) {
    const path = `/cameras/${encodeURIComponent(camera.name)}`;
    const title = camera.title || camera.name;
    const isPaused = camera.state === "paused";
    const key = (action) => `${action}-${camera.name}`;
    return h("li", { "data-camera": camera.name, "data-state": camera.state },
      h("p", { class: "who" }, title, title === camera.name ? "" : ` (${camera.name})`),
      h("p", { class: "camera-state" }, STATES[camera.state] || camera.state, camera.message && camera.message !== camera.state ? `: ${camera.message}` : "", camera.fps === null || camera.state === "paused" ? "" : ` · ${camera.fps.toFixed(1)} pictures/s`),
      isOperator ? h("div", { class: "does" },
        h("button", { type: "button", "data-key": key("pause"), onclick: () => change("PATCH", path, { paused: !isPaused }, isPaused ? `${title} starts within seconds.` : `${title} is paused.`) }, isPaused ? "Resume" : "Pause"),
        h("button", { type: "button", "data-key": key("mask"), "aria-label": `mask of ${title}`, onclick: () => go({ mask: camera.name }) }, "Mask"),
        h("button", { type: "button", "data-key": key("calibrate"), "aria-label": `calibrate ${title}`, onclick: () => go({ calibrate: camera.name }) }, "Calibrate"),
        h("details", { class: "remove", "data-key": key("removal") },
          h("summary", {}, "Remove"),
          h("p", {}, "The site forgets its settings. Objects seen there can still be recognised elsewhere."),
          h("button", { type: "button", "data-key": key("remove"), onclick: () => change("DELETE", path, undefined, `${title} was removed.`) }, "Remove it"))) : null);
  }

  async function draw(signal) {
    const cameras = await guarded(() => readCameras(signal));
    const open = new Set(every("details[open]", list).map((details) => details.dataset.key));
    keepFocus(() => list.replaceChildren(...(cameras.length ? cameras.map(item) : [h("li", { class: "empty" }, "This site has no camera yet.")])));
    for (const details of list.querySelectorAll("details")) details.open = open.has(details.dataset.key);
  }

  const stop = repeat(draw, EVERY_MS);
  return () => {
    stop();
    abort.abort();
  };
}

/** The form that adds a camera: address, test, picture, save.
 * @param {AbortSignal} signal
 */
function addForm(signal) {
  const source = h("input", { type: "text", required: true, inputmode: "url", autocomplete: "off", spellcheck: "false", placeholder: "rtsp://user:password@192.0.2.10/stream" });
  const name = h("input", { type: "text", required: true, maxlength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*", title: "letters, digits, and - _ . inside", placeholder: "lobby" });
  const title = h("input", { type: "text", maxlength: 64, placeholder: "Lobby, ground floor" });
  const result = h("div", { class: "trial", role: "status" });
  const test = h("button", { type: "button" }, "Test");
  const save = h("button", { type: "submit" }, "Save");

  async function attempt(button, waiting, work) {
    result.replaceChildren(waiting);
    button.disabled = true;
    try {
      result.replaceChildren(...await work());
    } catch (error) {
      if (error.name !== "AbortError") result.replaceChildren(h("p", {}, `Not done: ${error.message}.`));
    }
    button.disabled = false;
  }

  test.addEventListener("click", () => {
    if (source.reportValidity()) attempt(test, "A worker opens it. This takes a few seconds …", async () => trial(await request("POST", "/sources/test", { source: source.value.trim() }, signal)));
  });
  const form = h("form", { onsubmit: (event) => {
    event.preventDefault();
    attempt(save, "…", async () => {
      const settings = { name: name.value.trim(), source: source.value.trim(), ...(title.value.trim() ? { title: title.value.trim() } : {}) };
      await request("POST", "/cameras", settings, signal);
      form.reset();
      return [h("p", {}, `${settings.title || settings.name} was added. A worker starts it within seconds.`)];
    });
  } },
  h("label", {}, "Address of its stream", source),
  h("label", {}, "Name, for commands and keys", name),
  h("label", {}, "Title, for people (optional)", title),
  h("div", { class: "does" }, test, save),
  result);
  return h("details", { class: "add-camera", open: new URLSearchParams(location.hash.slice(1)).has("add") }, h("summary", {}, "Add a camera"),
    h("p", {}, "The address is in the manual of the camera, often as “RTSP”. Test it: a worker opens it and shows its first picture. Then save it."),
    form);
}

/** What became of a test. */
function trial(answer) {
  if (!answer.works) return [h("p", { class: "bad" }, `It does not work: ${answer.reason}.`), h("p", { class: "where" }, `Tried by ${answer.worker} on ${answer.host}.`)];
  const facts = [
    answer.width && answer.height ? `${answer.width} × ${answer.height}` : "",
    answer.fps === null ? "" : `${answer.fps} pictures/s`,
    answer.codec || "",
    answer.first_picture_s === null ? "" : `first picture after ${answer.first_picture_s.toFixed(1)} s`,
  ].filter(Boolean).join(", ");
  return [
    answer.picture ? h("img", { src: answer.picture, alt: "the first picture" }) : null,
    h("p", { class: "good" }, `It works: ${facts}.`),
    answer.warning ? h("p", { class: "bad" }, `${answer.warning}.`) : null,
    h("p", { class: "where" }, `Tried by ${answer.worker} on ${answer.host}.`),
  ].filter(Boolean);
}
