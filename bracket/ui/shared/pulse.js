// The pulse: asks whether the page has become old, and only then has it read again. Slower while nothing runs or nobody
// looks. A plain request: Gradio's own way costs both sides several times as much. Given by Gradio: element, trigger.
const LIVE = 900, REST = 5000, HIDDEN = 15000, LOAD = 30000, PATIENCE = 5000;
const place = location.pathname.replace(/\/?$/, "/pulse");
const shown = () => document.querySelector("#state .state")?.dataset.stamp;
let picked, live = false, asking = false, timer = 0, loaded = -LOAD, before = null, told = 0, patience = PATIENCE;

async function beat() {
  clearTimeout(timer);
  if (!element.isConnected || asking || picked === undefined) return;
  asking = true;
  const began = performance.now(), meter = live || began - loaded >= LOAD;
  try {
    const asked = await fetch(`${place}?${new URLSearchParams({ session: picked, meter: meter ? "1" : "" })}`);
    if (!asked.ok) throw new Error(`status ${asked.status}`);
    const answer = await asked.json();
    live = answer.live;
    if (answer.meter !== undefined) {
      loaded = began;
      const meters = element.querySelector(".meters");
      if (meters.told !== answer.meter) meters.innerHTML = meters.told = answer.meter;
    }
    // What was told may be on its way, and asking more makes a busy server slower; what never arrives is told again.
    const now = shown(), lost = now === before, late = began - told >= patience;
    if (answer.stamp === now) before = null;
    else if (!lost || late || now === "") {
      if (!lost || late) [told, patience] = [began, lost ? Math.min(2 * patience, 60000) : PATIENCE];
      before = now;
      trigger(lost && late ? "retry" : "tick");
      window.dispatchEvent(new Event("bracket-moved"));
    }
  } catch (error) {
    // What does not answer is asked again. Gradio says that the connection is lost once a request of its own finds out,
    // and a page at rest makes none.
    if (error instanceof TypeError) trigger("tick");
  } finally {
    asking = false;
    const rest = document.hidden ? HIDDEN : live ? LIVE : REST;
    timer = setTimeout(beat, Math.max(live ? Math.min(rest, 5000) : rest, 4 * (performance.now() - began)));
  }
}

// Called with the picker's value whenever it changed, and once it is known at the start.
window.bracketPicked = (name) => {
  picked = name || "";
  beat();
};
// Whoever acts wants to see at once what comes of it.
document.addEventListener("click", () => setTimeout(beat, 500), true);
document.addEventListener("visibilitychange", () => document.hidden || beat());
