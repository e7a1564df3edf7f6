/*
 * A tile in JupyterLab's launcher, written as JupyterLab loads extensions: a container of one module. No build step.
 * A click puts the bench's notebook into the folder that is being looked at, opens it and runs its first cell; a
 * notebook of that name that lies there already is opened as it is.
 */
(() => {
  const NAME = "mattergen-design-workbench", NOTEBOOK = "workbench.ipynb", COMMAND = "mattergen-workbench:open";
  const LABEL = "Design workbench";
  const DRAWING = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 52 52" width="52" height="52">
    <g fill="none" stroke="#0f6e84" stroke-width="2.4" stroke-linejoin="round"><path d="M26 5 45 15v22L26 47 7 37V15z"/><path d="M7 15l19 10 19-10M26 25v22"/></g>
    <g fill="#0f6e84"><circle cx="26" cy="25" r="5.2"/><circle cx="26" cy="5" r="3.6"/><circle cx="45" cy="15" r="3.6"/><circle cx="45" cy="37" r="3.6"/>
    <circle cx="26" cy="47" r="3.6"/><circle cx="7" cy="37" r="3.6"/><circle cx="7" cy="15" r="3.6"/></g></svg>`;
  let shared = null;

  /** One of JupyterLab's own modules, as the page shares it; undefined where it shares none of that name. */
  const ours = async (name) => {
    const versions = Object.values(shared?.[name] ?? {});
    return versions.length ? (await versions[0].get())() : undefined;
  };

  /** The notebook as the extension ships it. */
  const shipped = async (settings) => {
    const { PageConfig, URLExt } = await ours("@jupyterlab/coreutils");
    const answer = await fetch(URLExt.join(PageConfig.getOption("fullLabextensionsUrl"), NAME, "static", NOTEBOOK), settings.init);
    if (!answer.ok) throw new Error(`The bench's notebook is not installed (${answer.status}); install ${NAME} again.`);
    return answer.json();
  };

  const open = async (app, folder) => {
    const { contents, serverSettings } = app.serviceManager;
    const path = folder ? `${folder}/${NOTEBOOK}` : NOTEBOOK;
    const there = (await contents.get(folder)).content.some((file) => file.name === NOTEBOOK);  // to ask for the file itself would be an error in the console
    if (!there) await contents.save(path, { type: "notebook", format: "json", content: await shipped(serverSettings) });
    const panel = await app.commands.execute("docmanager:open", { path, factory: "Notebook" });
    await panel.context.ready;
    await panel.sessionContext.ready;
    if (!there) {
      panel.content.activeCellIndex = 0;
      await app.commands.execute("notebook:run-cell", { activate: true });
    }
    return panel;
  };

  const plugin = async () => {
    const { ILauncher } = (await ours("@jupyterlab/launcher")) ?? {};
    const { LabIcon } = (await ours("@jupyterlab/ui-components")) ?? {};
    const icon = LabIcon ? new LabIcon({ name: `${NAME}:bench`, svgstr: DRAWING }) : undefined;
    return {
      id: `${NAME}:launcher`,
      description: "A tile that opens the design workbench.",
      autoStart: true,
      optional: ILauncher ? [ILauncher] : [],
      activate: (app, launcher) => {
        app.commands.addCommand(COMMAND, {
          label: LABEL, caption: "Design crystals: constraints, generation, verdicts", icon,
          execute: (args) => open(app, args.cwd ?? ""),
        });
        launcher?.add({ command: COMMAND, category: "Notebook", rank: 1, kernelIconUrl: `data:image/svg+xml,${encodeURIComponent(DRAWING)}` });
      },
    };
  };

  (globalThis._JUPYTERLAB ??= {})[NAME] = {
    init: async (scope) => { shared = scope; },
    get: async (name) => {
      if (name !== "./extension") throw new Error(`${NAME} has no module ${name}.`);
      const made = await plugin();
      return () => ({ __esModule: true, default: made });
    },
  };
})();
