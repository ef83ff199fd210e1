// The drawn tournament. What trains now is asked for each second; the drawing comes again only when it changed, and of it
// only the parts that differ are put in place, so that nothing moves, blinks or loses the focus while one reads.
// Given by Gradio: element, props, server, watch.
const find = (selector) => element.querySelector(selector);
const note = find(".note"), open = new Set();
let session = "", stamp = "", asking = false, missed = false, due = 0, again = 0, doing = {}, generation = 0;

const wanted = () => props.value || {};

function shell(node) {
  const made = node.cloneNode(false);
  made.source = null;
  return made;
}

// Makes the keyed children of `into` those of `fresh`. A part with data-parts is entered, any other one replaced whole,
// and only if its HTML differs; its place alone (the style) is simply set.
function patch(into, fresh) {
  const old = new Map([...into.children].map((node) => [node.dataset.key, node]));
  const parts = [...fresh.children];
  parts.forEach((node, i) => {
    const style = node.getAttribute("style"), nested = node.dataset.parts !== undefined;
    node.removeAttribute("style");
    const source = nested ? null : node.outerHTML;
    let kept = old.get(node.dataset.key);
    old.delete(node.dataset.key);
    if (!kept) kept = nested ? shell(node) : node;
    else if (!nested && kept.source !== source) {
      kept.replaceWith(node);
      kept = node;
    }
    kept.source = source;
    if (nested) patch(kept, node);
    if (style && kept.getAttribute("style") !== style) kept.setAttribute("style", style);
    if (into.children[i] !== kept) into.insertBefore(kept, into.children[i] || null);
  });
  for (const gone of old.values()) gone.remove();
}

function parsed(html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  return made.content;
}

function place(answer) {
  const focused = element.contains(document.activeElement) ? document.activeElement.closest("[data-key]")?.dataset.key : "";
  const tree = find(".tree"), fresh = parsed(answer.tree);
  patch(tree, fresh);
  tree.style.setProperty("--columns", tree.querySelectorAll(":scope > header").length);
  patch(find(".groups"), parsed(answer.groups));
  for (const group of element.querySelectorAll(".group")) unfold(group, open.has(group.dataset.key));
  if (focused && !element.contains(document.activeElement)) card(focused)?.focus({ preventScroll: true });
}

const card = (key) => element.querySelector(`[data-key="${CSS.escape(key)}"]`);

function tell(now) {
  for (const key of new Set([...Object.keys(doing), ...Object.keys(now)])) {
    const node = card(key);
    if (!node) continue;
    const [words, share] = now[key] || [null, 0], bar = node.querySelector(".progress i"), tone = node.querySelector(".tone");
    if (bar) bar.style.width = `${share * 100}%`;
    if (tone && words !== null && tone.textContent !== words) tone.textContent = words;
    if (node.matches(".tile") && words !== null) node.title = `${node.getAttribute("aria-label").split(":")[0]}: ${words}`;
  }
  doing = now;
}

function unfold(group, on) {
  const button = group.querySelector(".unfold"), tiles = group.querySelector(".tiles");
  group.classList.toggle("open", on);
  button.setAttribute("aria-expanded", String(on));
  const words = on ? "Show fewer" : "Show all";
  if (button.textContent !== words) button.textContent = words;
  button.hidden = !on && tiles.scrollHeight <= tiles.clientHeight + 4;
}

function clear() {
  session = wanted().session || "";
  generation += 1;
  stamp = "";
  doing = {};
  due = 0;
  open.clear();
  find(".tree").replaceChildren();
  find(".groups").replaceChildren();
}

async function ask() {
  clearTimeout(again);
  if (!element.isConnected || !session || element.offsetParent === null) return;
  missed = asking;
  if (asking) return;
  if (performance.now() < due) return void (again = setTimeout(ask, due - performance.now()));
  asking = true;
  const mine = generation, began = performance.now();
  try {
    const answer = await server.tournament({ session, stamp });
    if (mine !== generation) return;
    if (answer.tree !== undefined) {
      place(answer);
      window.dispatchEvent(new Event("bracket-drawn"));
    }
    stamp = answer.stamp;
    tell(answer.now);
    note.textContent = "";
  } catch (error) {
    note.textContent = "bracket does not answer; trying again.";
    again = setTimeout(ask, 4000);
  } finally {
    // A server that takes long over a huge session, or is busy training, is asked less often.
    const took = performance.now() - began;
    if (mine === generation) due = began + 5 * took;
    asking = false;
    if (missed) ask();
  }
}

element.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-trial]"), button = event.target.closest(".unfold");
  if (opener) {
    const detail = { session, trial: opener.dataset.trial, back: () => card(opener.dataset.key) || opener };
    window.dispatchEvent(new CustomEvent("bracket-look", { detail }));
  } else if (button) {
    const group = button.closest(".group"), key = group.dataset.key;
    if (open.has(key)) open.delete(key); else open.add(key);
    unfold(group, open.has(key));
  }
});
watch("value", () => {
  if ((wanted().session || "") !== session) clear();
  due = 0;
  ask();
});
window.addEventListener("bracket-moved", ask);
new ResizeObserver(ask).observe(element); // also when its tab is opened
clear();
ask();
