"use strict";
(() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const root = document.documentElement;
  const screen = document.getElementById("screen");
  const stills = [...document.querySelectorAll(".still")].map((button) => ({
    button, time: Number(button.dataset.time), source: button.querySelector("img").src,
  }));
  const readouts = [...document.querySelectorAll(".readout")];
  const scrubber = document.getElementById("scrubber");
  const clock = document.getElementById("clock");
  const play = document.getElementById("play");
  const SWEEP_S = 6; // one showing of the episode, however long it was
  let now = 0, playing = false, lastFrame = 0, shownStill = null;

  const lastAtOrBefore = (list, time, key) => {
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle][key] <= time) low = middle + 1; else high = middle;
    }
    return list[Math.max(low - 1, 0)];
  };
  const put = (name, text) => {
    const place = document.querySelector(`[data-now="${name}"]`);
    if (place) place.textContent = text;
  };

  const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);

  function showTime(time) {
    now = Math.min(Math.max(time, 0), data.duration);
    root.style.setProperty("--cursor", (100 * now) / data.duration);
    root.style.setProperty("--cursor-shown", "block");
    if (scrubber) { scrubber.value = now; clock.textContent = `${now.toFixed(2)} s`; }
    put("time", `${now.toFixed(2)} of ${data.duration.toFixed(1)} s`);
    showStill();
    showJoints();
    showChunk();
  }

  function showStill() {
    if (!stills.length) return;
    const still = lastAtOrBefore(stills, now, "time");
    if (still === shownStill) return;
    if (shownStill) shownStill.button.classList.remove("current");
    still.button.classList.add("current");
    screen.src = still.source;
    const strip = still.button.parentElement;
    if (still.button.offsetLeft < strip.scrollLeft + strip.offsetLeft ||
        still.button.offsetLeft + still.button.offsetWidth > strip.scrollLeft + strip.offsetLeft + strip.clientWidth) {
      strip.scrollLeft = still.button.offsetLeft - strip.offsetLeft;
    }
    shownStill = still;
  }

  function showJoints() {
    const at = Math.round((now / data.duration) * (data.points - 1));
    data.joints.forEach((joint, number) => {
      const measured = joint.measured[at], commanded = joint.commanded[at];
      const digits = joint.unit === "mm" ? 1 : 3;
      const readout = readouts[number];
      if (measured === null) { readout.textContent = ""; return; }
      const error = commanded === null ? "" : joint.unit === "mm"
        ? `, ${signed(measured - commanded, 1)} mm`
        : `, ${signed(1000 * (measured - commanded), 0)} mrad`;
      readout.textContent = `${measured.toFixed(digits)} ${joint.unit}${error}`;
    });
    ["left", "right"].forEach((arm, number) => {
      const opening = data.joints[7 * number + 6].measured[at];
      if (opening === null) return;
      put(`gripper-${arm}`, `${opening.toFixed(0)} mm open`);
      const meter = document.querySelector(`[data-meter="${arm}"]`);
      if (meter) meter.style.width = `${Math.min(100, Math.max(0, (100 * opening) / 70))}%`;
    });
  }

  function showChunk() {
    const chunk = data.chunks.length ? lastAtOrBefore(data.chunks, now, "begin") : null;
    if (!chunk || chunk.begin > now) { ["chunk", "total", "age"].forEach((name) => put(name, "–")); return; }
    const timing = data.timings[chunk.sequence];
    put("chunk", `no. ${chunk.sequence}, ${chunk.steps} steps`);
    put("total", timing ? `${timing.total.toFixed(0)} ms` : "–");
    put("age", timing ? `${timing.age.toFixed(0)} ms` : "–");
  }

  function setPlaying(on) {
    playing = on;
    if (!play) return;
    play.firstElementChild.textContent = on ? "❚❚" : "▶";
    play.setAttribute("aria-label", on ? "Pause" : "Play");
    if (on) { lastFrame = 0; requestAnimationFrame(step); }
  }

  function step(timestamp) {
    if (!playing) return;
    const elapsed = lastFrame ? (timestamp - lastFrame) / 1000 : 0;
    lastFrame = timestamp;
    const next = now + (elapsed * data.duration) / SWEEP_S;
    showTime(next >= data.duration ? 0 : next);
    requestAnimationFrame(step);
  }

  const scrub = (plot) => (event) => {
    const box = plot.getBoundingClientRect();
    setPlaying(false);
    showTime((data.duration * (event.clientX - box.left)) / box.width);
  };
  document.querySelectorAll(".plot.short, [data-scrub]").forEach((plot) => {
    plot.addEventListener("pointermove", scrub(plot));
    plot.addEventListener("pointerdown", scrub(plot));
  });
  stills.forEach((still) => still.button.addEventListener("click", () => { setPlaying(false); showTime(still.time); }));
  if (scrubber) scrubber.addEventListener("input", () => { setPlaying(false); showTime(Number(scrubber.value)); });
  if (play) play.addEventListener("click", () => setPlaying(!playing));
  document.addEventListener("keydown", (event) => {
    if (event.key === " " && (event.target === document.body || event.target === scrubber)) {
      event.preventDefault();
      setPlaying(!playing);
    }
  });

  const tip = document.getElementById("tip");
  const showTip = (target, x, y) => {
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    tip.style.left = `${Math.max(8, Math.min(x + 12, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : y + 18}px`;
  };
  document.querySelectorAll("[data-tip]").forEach((target) => {
    target.addEventListener("pointermove", (event) => showTip(target, event.clientX, event.clientY));
    target.addEventListener("pointerleave", () => { tip.hidden = true; });
    target.addEventListener("focus", () => {
      const box = target.getBoundingClientRect();
      showTip(target, box.left, box.bottom - 12);
    });
    target.addEventListener("blur", () => { tip.hidden = true; });
  });

  showTime(0);
  if (stills.length && !matchMedia("(prefers-reduced-motion: reduce)").matches) setPlaying(true);
})();
