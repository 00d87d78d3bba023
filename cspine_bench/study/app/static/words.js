// What the page says of each design, in one place.

export const NOTICE = "For research; synthetic images among them; not for diagnosis";

/** The question above the images. */
export const QUESTION = {
  quartet: "Which do you take for the real radiograph?",
  pair: "Which do you take for the real radiograph?",
  single: "A real radiograph, or a synthetic one?",
};

/** What a reader is asked to do, for the first page. */
export const TASK = {
  quartet: "Each set shows four images. Pick the one that you take for the real radiograph. If none stands out, guess.",
  pair: "Each set shows two images. Pick the one that you take for the real radiograph. If neither stands out, guess.",
  single: "Each set shows one image. Say whether you take it for a real radiograph or a synthetic one. If unsure, guess.",
};

/** The answers that a reader picks among: what is on the button, and how it is spoken. */
export function listChoices(design, panes) {
  if (design === "single") {
    return [
      { value: "real", words: "Real", pickedWords: "Real", spoken: "Real" },
      { value: "synthetic", words: "Synthetic", pickedWords: "Synthetic", spoken: "Synthetic" },
    ];
  }
  return Array.from({ length: panes }, (_, index) => ({
    value: index + 1,
    words: "Pick",
    pickedWords: "Picked",
    spoken: `Pick image ${index + 1}`,
  }));
}

/** "1", "1 and 2", "1, 2 and 4". */
export function joinWords(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
