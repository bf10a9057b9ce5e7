/** The dashboard's entry: who is signed in sees the pages, everyone else the sign-in. */
import { render } from "preact";
import { App } from "./app.tsx";
import { followSession } from "./api/client.ts";

const place = document.getElementById("app");
if (place !== null) {
	followSession();
	render(<App />, place);
}
