(() => { window.edgebookCalculators = {}; })();
