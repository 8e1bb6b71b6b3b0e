// Which models the site runs, what they find, and how to change them.

import { isOperator } from "./panel_body.js";
import { get, h } from "./parts.js";

const COMMANDS = `# vehicles
mtmc models pull yolox_s vehicle-reid-0001
# or people
mtmc models pull yolox_s person_reid_youtu

mtmc config publish SITE.yaml`;

/** Shows it in an element, once.
 * @param {Element} element
 * @param {AbortSignal} [signal]
 */
export async function showNetworks(element, signal) {
  const { detector, embedder, classes } = await get("/models", signal);
  const looksFor = classes ? ` It looks for ${classes.join(", ")}.` : "";
  element.replaceChildren(
    h("p", {}, "Detector: ", ...named(detector), ".", looksFor),
    h("p", {}, "Embedder, which tells objects apart: ", ...named(embedder), "."),
    ...(isOperator ? advice(detector, embedder) : []));
}

function named(network) {
  return [h("strong", {}, network.name), network.what ? ` (${network.what})` : ""];
}

function advice(detector, embedder) {
  const isOfDemo = detector.of_demo || embedder.of_demo;
  const isChosen = detector.preselected || embedder.preselected;
  const about = isOfDemo ? "The models of the demo know only its drawn vehicles." : isChosen ? "The site file names no models, so the ones that were pulled last are used." : "The site file names them.";
  const wish = isOfDemo ? "For real pictures" : "For others";
  const todo = isChosen ? `${wish}, type this on the machine with the site file:` : `${wish}, write what the first command prints into the site file, with the cameras that were added here, and publish it:`;
  return [
    h("p", {}, `${about} ${todo}`),
    h("pre", {}, COMMANDS),
    h("p", {}, `Then all processes restart with them.${isChosen ? " The cameras stay." : ""}`),
  ];
}
