// Pictures of any kind as JPEG, which is what the API takes.

const QUALITY = 0.9;

/** @param {Blob} picture
 * @param {number} largest its longer side is made at most this long, pixels
 * @returns {Promise<Blob>}
 */
export async function asJpeg(picture, largest) {
  const image = await createImageBitmap(picture).catch(() => {
    throw new Error("the browser cannot read this file as a picture");
  });
  const scale = Math.min(1, largest / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // what is transparent in a plan is paper
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}
