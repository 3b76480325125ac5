// What is asked for, in words: Chinese by the longest words that the index has, the rest at spaces and marks.
function splitQuery(query) {
  const index = Search._index;
  const known = (word) => Object.hasOwn(index.terms, word) || Object.hasOwn(index.titleterms, word);
  const parts = query.match(/[\u3400-\u9fff]+|[^\u3400-\u9fff\p{Punctuation}\p{Separator}]+|_/gu) ?? [];
  return parts.flatMap((part) => {
    if (!/[\u3400-\u9fff]/.test(part)) return [part];
    const found = [];
    for (let k = 0; k < part.length; ) {
      let n = part.length - k;
      while (n > 1 && !known(part.slice(k, k + n))) n--;
      if (known(part.slice(k, k + n))) found.push(part.slice(k, k + n)); // few characters alone are in the index
      k += n;
    }
    return found;
  });
}
