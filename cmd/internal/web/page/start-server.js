// The page over HTTP.
import { start } from "./main.js";
import { engine } from "./engine-server.js";

start(engine);
