onmessage = async ({ data: url }) => postMessage(await (await fetch(url)).text());
