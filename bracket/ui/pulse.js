// The pulse: asks whether the page has become old, and only then has it read again. Slower while nothing runs or nobody
// looks. Given by Gradio: element, server, trigger.
const LIVE = 900, REST = 2000, HIDDEN = 15000, LOAD = 10000;
const shown = () => document.querySelector("#state .state")?.dataset.stamp;
let picked, live = false, asking = false, timer = 0, loaded = -LOAD, before, stuck = 0;

async function beat() {
  clearTimeout(timer);
  if (!element.isConnected || asking || picked === undefined) return;
  asking = true;
  const began = performance.now(), meter = live || began - loaded >= LOAD;
  try {
    const answer = await server.pulse({ session: picked, meter });
    live = answer.live;
    if (answer.meter !== undefined) {
      loaded = began;
      const place = element.querySelector(".meters");
      if (place.told !== answer.meter) place.innerHTML = place.told = answer.meter;
    }
    if (answer.stamp !== shown()) {
      // What was told and never arrived is told again.
      stuck = shown() === before ? stuck + 1 : 0;
      before = shown();
      trigger(stuck % 4 === 3 ? "retry" : "tick");
      window.dispatchEvent(new Event("bracket-moved"));
    }
  } catch (error) {
    // What does not answer is asked again; Gradio says that the connection is lost.
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
