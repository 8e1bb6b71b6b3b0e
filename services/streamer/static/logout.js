"use strict";

document.getElementById("logout").addEventListener("click", async () => {
  await fetch("/logout", { method: "POST" }).catch(() => null);
  location.assign("/");
});
