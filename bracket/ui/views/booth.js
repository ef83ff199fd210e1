// The vote: the next pairs wait in the browser, so that a choice shows the next one at once; votes go to the server one
// after the other. Given by Gradio: element, props, server, watch.
const AHEAD = 3, AGAIN = 4000;
const find = (selector) => element.querySelector(selector);
const root = find(".vote"), booth = find(".booth"), note = find(".note"), begin = find(".begin");
const cast = new Set();
let known = JSON.stringify(props.value || {}), session = "", pairs = [], voted = 0, total = 0, aim = 0, going = false, held = false, stale = false, asking = false, pending = 0, again = 0, sending = Promise.resolve(), generation = 0;

const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

function picture(content, side) {
  const node = document.createElement(content.clip ? "video" : "img");
  if (content.clip) Object.assign(node, { autoplay: true, loop: true, muted: true });
  else node.addEventListener("load", () => node.classList.toggle("tiny", node.naturalWidth < 200));
  node.alt = `${side} picture`;
  node.src = content.src;
  node.decode?.().catch(() => {});
  return node;
}

// Pictures are decoded when they arrive, long before they are shown.
const ready = (pair) => ({ ...pair, left: picture(pair.left, "Left"), right: picture(pair.right, "Right") });

function take(answer, first = false) {
  [voted, total, aim] = [answer.voted, answer.total, answer.aim];
  const fresh = answer.pairs.filter((pair) => !cast.has(pair.token) && !pairs.some((p) => p.token === pair.token)).map(ready);
  pairs = first ? [...fresh, ...pairs] : [...pairs, ...fresh];
}

function show() {
  const pair = pairs[0];
  find(".count").textContent = voted < aim ? `${voted} of ${aim}` : `${voted} of ${total}`;
  find(".undo").disabled = !voted;
  for (const button of element.querySelectorAll(".choices button:not(.undo)")) button.disabled = !pair;
  if (!pair) return;
  find(".prompt").textContent = pair.prompt;
  find(".left").replaceChildren(pair.left);
  find(".right").replaceChildren(pair.right);
  for (const clip of element.querySelectorAll(".two video")) clip.play().catch(() => {});
}

function open() {
  if (!pairs.length) return;
  going = true;
  note.textContent = "";
  document.activeElement?.blur();
  root.classList.add("open");
  booth.hidden = false;
  find(".closed").hidden = true;
  show();
}

function shut() {
  going = held = false;
  root.classList.remove("open");
  booth.hidden = true;
  find(".closed").hidden = false;
}

async function close() {
  const mine = generation;
  shut();
  await sending;
  if (mine !== generation) return;
  if (stale) return reset();
  const told = voted ? await server.told({ session }) : "";
  if (mine !== generation) return;
  find(".told").innerHTML = told;
  label();
}

function label(words) {
  const done = total > 0 && voted >= total;
  find(".words").textContent = words || (done
    ? `You voted on all ${count(total, "pair")}.`
    : voted
      ? `${count(voted, "vote")} so far, ${count(total - voted, "pair")} left.`
      : `${count(total, "pair")} of pictures of the same prompt and seed. Which is whose stays hidden; ${count(aim, "vote")} ${aim === 1 ? "takes" : "take"} about ${aim < 15 ? `${aim * 3} seconds` : "a minute"}.`);
  begin.hidden = Boolean(words);
  begin.textContent = done ? "Undo the last vote" : voted ? "Go on voting" : "Start voting";
}

function vote(value) {
  const pair = held ? null : pairs.shift();
  if (!pair) return;
  voted += 1;
  cast.add(pair.token);
  note.textContent = "";
  // After the first twenty one hears what they say before going on.
  held = voted === aim;
  show();
  const mine = generation, of = session;
  pending += 1;
  sending = sending.then(async () => {
    const want = mine === generation ? Math.max(0, AHEAD - pairs.length) : 0;
    const answer = await server.say({ session: of, token: pair.token, value, want }).catch(() => ({}));
    if (mine !== generation) return;
    pending -= 1;
    if (!("voted" in answer)) {
      pairs.push(pair);  // at the end: another one may be looked at now
      voted -= 1;
      cast.delete(pair.token);
      held = false;
      note.textContent = answer.error || "bracket does not answer, so a vote was not kept. Its pair comes again.";
      return show();
    }
    const before = voted;
    take(answer);
    voted = Math.max(before, answer.voted);
    goOn();
  });
}

// An answer that has not come yet is no end: the booth shuts when the votes are kept and there is nothing more to ask.
function goOn() {
  if (!going) return;
  if (!pending && (held || (!pairs.length && voted >= total))) return void close();
  if (!pairs.length) note.textContent = "Waiting for the next pair…";
  else if (note.textContent.startsWith("Waiting")) note.textContent = "";
  show();
  if (!pairs.length && !pending) ask();
}

function undo(then) {
  if (!voted) return;
  const mine = generation;
  sending = sending.then(async () => {
    const answer = await server.take_back({ session }).catch(() => ({}));
    if (mine !== generation) return;
    if (!("voted" in answer)) { note.textContent = answer.error || "bracket does not answer; nothing was undone."; return; }
    note.textContent = "The last vote is undone.";
    for (const pair of answer.pairs) cast.delete(pair.token);
    take(answer, true);
    if (then) then();
    else show();
  });
}

// Asks for the open session's pairs; where there are none yet, again while somebody looks.
async function ask() {
  clearTimeout(again);
  if (!element.isConnected || !session || element.offsetParent === null || asking || pending) return;
  if (pairs.length || (total && voted >= total)) return;
  const mine = generation;
  asking = true;
  const answer = await server.ballot({ session, want: AHEAD }).catch(() => null);
  const told = answer?.voted && !going ? await server.told({ session }).catch(() => "") : "";
  if (mine !== generation) return;
  asking = false;
  if (!answer) again = setTimeout(ask, AGAIN);
  else if ("voted" in answer) take(answer);
  if (going && answer && !pairs.length && voted < total) again = setTimeout(ask, AGAIN);
  else if (going) return goOn();
  if (!going) find(".told").innerHTML = told;
  label(answer ? answer.words : "bracket does not answer; trying again.");
}

function reset() {
  session = (props.value || {}).session || "";
  generation += 1;
  [pairs, voted, total, aim] = [[], 0, 0, 0];
  cast.clear();
  stale = asking = false;
  pending = 0;
  shut();
  find(".told").replaceChildren();
  label(session ? "Looking for pictures…" : "No session is open.");
  ask();
}

const KEYS = { ArrowLeft: () => vote(1), ArrowRight: () => vote(0), ArrowDown: () => vote(0.5), Backspace: () => undo(), u: () => undo(), Escape: close };
function press(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", press, true);
  if (!going || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable=true]")) return;
  const act = KEYS[event.key];
  if (act && !(event.repeat && event.key !== "Backspace")) act();
  // While one votes the page's own keys rest; those of the browser and of buttons that have the focus work.
  if (act || event.key.length === 1) { if (act) event.preventDefault(); event.stopPropagation(); }
}
document.addEventListener("keydown", press, true);
begin.addEventListener("click", () => (voted < total ? open() : undo(open)));
find(".stop").addEventListener("click", close);
find(".choose-left").addEventListener("click", () => vote(1));
find(".choose-right").addEventListener("click", () => vote(0));
find(".tie").addEventListener("click", () => vote(0.5));
find(".undo").addEventListener("click", () => undo());
watch("value", () => {
  const now = JSON.stringify(props.value || {});
  if (now === known) return;
  known = now;
  // Whoever votes is not disturbed, unless it is on another session; one that can't be read just now may be the same.
  if (going && [session, "", undefined].includes((props.value || {}).session)) stale = true;
  else reset();
});
window.addEventListener("bracket-moved", ask);
new ResizeObserver(ask).observe(element); // also when its tab is opened
reset();
