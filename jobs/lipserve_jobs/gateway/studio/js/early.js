// Sets the chosen theme before anything is drawn.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("theme");
  } catch {
    // storage is switched off: the system's theme
  }
  if (theme) document.documentElement.dataset.theme = theme;
})();
