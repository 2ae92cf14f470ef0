// Explanations of terms and values of tokens: one box beside what the pointer or the focus is on.
(() => {
  const place = (tip, box) => {
    const gap = 6;
    const { width, height } = tip.getBoundingClientRect();
    const below = box.bottom + gap + height < innerHeight;
    tip.style.top = `${below ? box.bottom + gap : Math.max(gap, box.top - gap - height)}px`;
    tip.style.left = `${Math.max(gap, Math.min(box.left, innerWidth - width - gap))}px`;
  };
  const show = (target) => {
    const tip = document.getElementById("tip");
    const of = target.closest && target.closest("[data-tip]");
    if (!tip) return;
    tip.hidden = !of;
    if (!of) return;
    tip.textContent = of.dataset.tip;
    place(tip, of.getBoundingClientRect());
  };
  const hide = () => {
    const tip = document.getElementById("tip");
    if (tip) tip.hidden = true;
  };
  document.addEventListener("pointerover", (event) => show(event.target));
  document.addEventListener("focusin", (event) => show(event.target));
  document.addEventListener("focusout", hide);
  document.addEventListener("pointerdown", hide); // what is picked or drawn is looked at
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  window.addEventListener("scroll", hide, { passive: true, capture: true });
})();
