// One trial over the page. It takes the focus, keeps it, and gives it back; its curves are those of the chart inside it.
// Given by Gradio: element, props, server, watch.
const root = () => document.getElementById("look"), find = (selector) => root().querySelector(selector);
const PARTS = { title: "#look-title", facts: ".facts", siblings: "nav", pictures: ".pictures" };
let asked = null, back = null, again = 0, shown = {}, live = false;

const isOpen = () => Boolean(root()?.classList.contains("open"));

// The page below neither scrolls nor grows by the width of its scroll bar.
function still(on) {
  const bar = window.innerWidth - document.documentElement.clientWidth;
  document.body.style.paddingRight = on && bar ? `${bar}px` : "";
  document.body.style.overflow = on ? "hidden" : "";
}

function put(node, html) {
  if (!node || node.told === html) return;
  node.told = html;
  node.innerHTML = html;
}

function curves(only) {
  const detail = { session: only.length ? asked.session : "", only, live };
  find("#look-loss .chart").dispatchEvent(new CustomEvent("bracket-curves", { detail, bubbles: true }));
}

async function fetchIt() {
  clearTimeout(again);
  const mine = asked;
  let answer;
  try {
    answer = await server.look({ session: mine.session, trial: mine.trial });
  } catch (error) {
    answer = { title: "bracket does not answer", pictures: "" };
  }
  if (mine !== asked || !isOpen()) return;
  for (const [part, selector] of Object.entries(PARTS)) put(find(selector), answer[part] || "");
  put(find("#look-facts .html-container, #look-facts"), answer.more || "");
  live = answer.ended === false;
  curves(answer.curves || []);
  if (live) again = setTimeout(fetchIt, 3000);
}

function open(detail) {
  asked = detail;
  if (!isOpen()) {
    back = detail.back || (() => null);
    still(true);
    root().classList.add("open");
    root().setAttribute("role", "dialog");
    root().setAttribute("aria-modal", "true");
    root().setAttribute("aria-labelledby", "look-title");
    find(".close").focus({ preventScroll: true });
  }
  root().scrollTop = 0;
  fetchIt();
}

function close() {
  if (!isOpen()) return;
  clearTimeout(again);
  still(false);
  root().classList.remove("open");
  curves([]);
  for (const selector of [...Object.values(PARTS), "#look-facts .html-container, #look-facts"]) put(find(selector), "");
  asked = null;
  const opener = back && back();
  opener?.focus?.({ preventScroll: true });
}

async function copy(button) {
  const text = find(".command").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch (error) {  // not a secure origin: the selection is copied the old way
    const range = document.createRange();
    range.selectNodeContents(find(".command"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

const FOCUSABLE = "button:not([disabled]), a[href], input, select, textarea, summary, [tabindex='0']";

function trap(event) {
  const nodes = [...root().querySelectorAll(FOCUSABLE)].filter((node) => node.offsetParent !== null);
  if (!nodes.length) return;
  const first = nodes[0], last = nodes[nodes.length - 1], at = document.activeElement;
  const outside = !root().contains(at);
  if (outside || (event.shiftKey && at === first) || (!event.shiftKey && at === last)) {
    event.preventDefault();
    (event.shiftKey ? last : first).focus();
  }
}

// Before the page's own keys: while a trial is open they would act on what it covers. An enlarged picture closes first.
window.addEventListener("keydown", (event) => {
  if (!isOpen()) return;
  if (event.key === "Escape" && document.querySelector(".overlay")) return;
  if (event.key === "Escape") close();
  else if (event.key === "Tab") trap(event);
  else if (["[", "]", "?"].includes(event.key)) return;
  if (event.key !== "Tab") event.stopPropagation();
}, true);

document.addEventListener("click", (event) => {
  if (!isOpen() || event.target.closest(".overlay")) return;
  if (!root().contains(event.target)) {
    event.preventDefault();
    event.stopPropagation();
    close();
    return;
  }
  const sibling = event.target.closest("[data-look]"), button = event.target.closest(".copy");
  if (event.target.closest(".close")) close();
  else if (sibling) open({ ...asked, trial: sibling.dataset.look });
  else if (button) copy(button);
}, true);

window.addEventListener("bracket-look", (event) => open(event.detail));
