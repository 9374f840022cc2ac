// Loads the page's program, and says so when a part of it is not there.
try {
  await import("./chat.js");
} catch (error) {
  const place = document.getElementById("fatal");
  place.textContent = "The page could not be loaded completely: phoenix.js may be missing on the server "
    + `("make run" installs it). The browser says: ${error.message}`;
  place.hidden = false;
  document.getElementById("status-text").textContent = "Not started";
  document.getElementById("status").dataset.state = "bad";
}
