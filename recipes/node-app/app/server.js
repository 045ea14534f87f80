// Says hello on port 8000, and how often it has.
const express = require("express");

const app = express();
let visits = 0;

app.get("/", (request, response) => {
  visits += 1;
  response.type("text/plain").send(`Hello from node-app, visit ${visits}\n`);
});

app.listen(8000);
