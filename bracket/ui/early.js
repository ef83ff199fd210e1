// Before Gradio's own scripts, which take the function that asks for a frame as they find it now: its sign of loading
// counts seconds at every frame, unseen, also when it is long gone. What asks again from within its frame is slowed.
(() => {
  const ask = window.requestAnimationFrame.bind(window), LONG = 3, SLOW = 10000;
  let depth = 0;
  const slowed = (draw) => {
    const mine = depth + 1;
    const run = (now) => { depth = mine; try { draw(now); } finally { depth = 0; } };
    return mine < LONG ? ask(run) : setTimeout(() => ask(run), SLOW);
  };
  window.requestAnimationFrame = slowed;
  // What is read later has the real one again: charts and drawings of the page's own are none of these.
  window.bracketFrames = () => { window.requestAnimationFrame = ask; };
})();
