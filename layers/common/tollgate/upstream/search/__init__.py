"""Web search for `web-` names: three providers behind one protocol, asked in order of priority."""
