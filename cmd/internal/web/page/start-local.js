// The page in one file.
import { engine } from "./engine-local.js";
import { start } from "./main.js";

start(engine);
