// What outlives a reload: choices in localStorage, files and drafts in IndexedDB.

export function preference(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // storage is switched off: nothing is remembered
  }
  return value ?? null;
}

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("lipserve-studio", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("kept");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function transact(mode, act) {
  const store = await database();
  return new Promise((resolve, reject) => {
    const transaction = store.transaction("kept", mode);
    const request = act(transaction.objectStore("kept"));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

/** Return what was kept under a key; undefined: nothing, or nothing can be kept here. */
export async function recall(key) {
  try {
    return await transact("readonly", (store) => store.get(key));
  } catch {
    return undefined;
  }
}

/** Keep a value that can be cloned; false: there is no room for it. */
export async function keep(key, value) {
  try {
    await transact("readwrite", (store) => (value == null ? store.delete(key) : store.put(value, key)));
    return true;
  } catch {
    return false;
  }
}
