BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE finding (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	image_id INTEGER NOT NULL, 
	label_id INTEGER, 
	mask_id INTEGER NOT NULL, 
	score FLOAT NOT NULL, 
	state VARCHAR NOT NULL, 
	FOREIGN KEY(image_id) REFERENCES image (id), 
	FOREIGN KEY(label_id) REFERENCES label (id), 
	FOREIGN KEY(mask_id) REFERENCES mask (id)
);
INSERT INTO "finding" VALUES(1,3,2,9,0.7,'accepted');
CREATE TABLE image (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	path VARCHAR NOT NULL, 
	present BOOLEAN NOT NULL, 
	width INTEGER, 
	height INTEGER, 
	state VARCHAR NOT NULL, 
	objects INTEGER NOT NULL, 
	head INTEGER NOT NULL, 
	undo_head INTEGER, 
	redo_head INTEGER, 
	holder VARCHAR, 
	holder_name VARCHAR, 
	held_until FLOAT NOT NULL
);
INSERT INTO "image" VALUES(1,'a.png',1,160,120,'accepted',2,13,13,NULL,'w1','w1',1.79596397396382474894e+09);
INSERT INTO "image" VALUES(2,'b.jpg',1,160,120,'started',2,17,15,17,'w1','w1',1.79596397401276898389e+09);
INSERT INTO "image" VALUES(3,'deep/c.png',1,160,120,'started',1,18,18,NULL,'w1','w1',1.79596397403913688654e+09);
CREATE TABLE item (
	id VARCHAR NOT NULL, 
	image_id INTEGER NOT NULL, 
	label_id INTEGER, 
	rank INTEGER NOT NULL, 
	locked BOOLEAN NOT NULL, 
	hidden BOOLEAN NOT NULL, 
	deleted BOOLEAN NOT NULL, 
	mask_id INTEGER, 
	base_id INTEGER, 
	prompts JSON NOT NULL, 
	origin VARCHAR NOT NULL, 
	score FLOAT NOT NULL, 
	clicks INTEGER NOT NULL, 
	strokes INTEGER NOT NULL, 
	seconds FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(image_id) REFERENCES image (id), 
	FOREIGN KEY(label_id) REFERENCES label (id), 
	FOREIGN KEY(mask_id) REFERENCES mask (id), 
	FOREIGN KEY(base_id) REFERENCES mask (id)
);
INSERT INTO "item" VALUES('o1',1,NULL,0,0,0,0,4,4,'[]','prompt',8.99999976158142089843e-01,3,1,0.0);
INSERT INTO "item" VALUES('o2',1,2,1,0,0,0,5,NULL,'[[{"type": "box", "x0": 10.0, "y0": 10.0, "x1": 30.0, "y1": 40.0}]]','prompt',8.99999976158142089843e-01,1,0,0.0);
INSERT INTO "item" VALUES('o3',1,NULL,2,0,0,1,6,NULL,'[[{"type": "text", "words": "a thing"}]]','prompt',8.99999976158142089843e-01,1,0,0.0);
INSERT INTO "item" VALUES('o4',2,NULL,0,0,0,0,7,NULL,'[[{"type": "example", "image": 1, "mask": 5}]]','prompt',8.99999976158142089843e-01,1,0,0.0);
INSERT INTO "item" VALUES('o5',2,NULL,1,0,0,0,8,8,'[]','copy',0.0,0,0,0.0);
INSERT INTO "item" VALUES('o6',3,2,0,0,0,0,9,9,'[]','found',0.7,0,0,0.0);
CREATE TABLE journal (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	"key" VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	who VARCHAR NOT NULL, 
	image_id INTEGER, 
	kind VARCHAR NOT NULL, 
	action JSON NOT NULL, 
	changes JSON NOT NULL, 
	parent INTEGER, 
	"of" INTEGER, 
	next_redo INTEGER, 
	FOREIGN KEY(image_id) REFERENCES image (id)
);
INSERT INTO "journal" VALUES(1,'first-label','2026-11-29T14:52:08.764+00:00','segue',NULL,'label','{}','[{"table": "label", "id": 1, "was": {"deleted": true}, "now": {"name": "object", "colour": "#4C8DFF", "rank": 0, "deleted": false}}]',NULL,NULL,NULL);
INSERT INTO "journal" VALUES(2,'l1','2026-11-29T14:52:08.842+00:00','api',NULL,'label','{"id": null, "name": "fish", "colour": null, "remove": false}','[{"table": "label", "id": 2, "was": {"deleted": true}, "now": {"name": "fish", "colour": "#FF7A59", "rank": 1, "deleted": false}}]',NULL,NULL,NULL);
INSERT INTO "journal" VALUES(3,'k0','2026-11-29T14:52:08.868+00:00','w1',1,'prompt','{"object": "o1", "prompts": [{"type": "click", "x": 30.0, "y": 40.0, "positive": true}]}','[{"table": "item", "id": "o1", "was": {"deleted": true}, "now": {"image_id": 1, "label_id": null, "rank": 0, "mask_id": 1, "prompts": [[{"type": "click", "x": 30.0, "y": 40.0, "positive": true}]], "score": 0.8999999761581421, "clicks": 1, "seconds": 0.0, "locked": false, "hidden": false, "deleted": false, "base_id": null, "origin": "prompt", "strokes": 0}}, {"table": "image", "id": 1, "was": {"state": "new"}, "now": {"state": "started"}}]',NULL,NULL,NULL);
INSERT INTO "journal" VALUES(4,'k1','2026-11-29T14:52:08.883+00:00','w1',1,'prompt','{"object": "o1", "prompts": [{"type": "click", "x": 100.0, "y": 90.0, "positive": true}]}','[{"table": "item", "id": "o1", "was": {"mask_id": 1, "prompts": [[{"type": "click", "x": 30.0, "y": 40.0, "positive": true}]], "clicks": 1}, "now": {"mask_id": 2, "prompts": [[{"type": "click", "x": 30.0, "y": 40.0, "positive": true}], [{"type": "click", "x": 100.0, "y": 90.0, "positive": true}]], "clicks": 2}}]',3,NULL,NULL);
INSERT INTO "journal" VALUES(5,'k2','2026-11-29T14:52:08.893+00:00','w1',1,'prompt','{"object": "o1", "prompts": [{"type": "click", "x": 100.0, "y": 90.0, "positive": false}]}','[{"table": "item", "id": "o1", "was": {"mask_id": 2, "prompts": [[{"type": "click", "x": 30.0, "y": 40.0, "positive": true}], [{"type": "click", "x": 100.0, "y": 90.0, "positive": true}]], "clicks": 2}, "now": {"mask_id": 3, "prompts": [[{"type": "click", "x": 30.0, "y": 40.0, "positive": true}], [{"type": "click", "x": 100.0, "y": 90.0, "positive": true}], [{"type": "click", "x": 100.0, "y": 90.0, "positive": false}]], "clicks": 3}}]',4,NULL,NULL);
INSERT INTO "journal" VALUES(6,'k3','2026-11-29T14:52:08.900+00:00','w1',1,'stroke','{"object": "o1", "erase": false}','[{"table": "item", "id": "o1", "was": {"mask_id": 3, "base_id": null, "prompts": [[{"type": "click", "x": 30.0, "y": 40.0, "positive": true}], [{"type": "click", "x": 100.0, "y": 90.0, "positive": true}], [{"type": "click", "x": 100.0, "y": 90.0, "positive": false}]], "strokes": 0}, "now": {"mask_id": 4, "base_id": 4, "prompts": [], "strokes": 1}}]',5,NULL,NULL);
INSERT INTO "journal" VALUES(7,'k4','2026-11-29T14:52:08.912+00:00','w1',1,'prompt','{"object": "o2", "prompts": [{"type": "box", "x0": 10.0, "y0": 10.0, "x1": 30.0, "y1": 40.0}]}','[{"table": "item", "id": "o2", "was": {"deleted": true}, "now": {"image_id": 1, "label_id": null, "rank": 1, "mask_id": 5, "prompts": [[{"type": "box", "x0": 10.0, "y0": 10.0, "x1": 30.0, "y1": 40.0}]], "score": 0.8999999761581421, "clicks": 1, "seconds": 0.0, "locked": false, "hidden": false, "deleted": false, "base_id": null, "origin": "prompt", "strokes": 0}}]',6,NULL,NULL);
INSERT INTO "journal" VALUES(8,'k5','2026-11-29T14:52:08.923+00:00','w1',1,'edit','{"object": "o2", "label": 2}','[{"table": "item", "id": "o2", "was": {"label_id": null}, "now": {"label_id": 2}}]',7,NULL,NULL);
INSERT INTO "journal" VALUES(9,'k6','2026-11-29T14:52:08.935+00:00','w1',1,'prompt','{"object": "o3", "prompts": [{"type": "text", "words": "a thing"}]}','[{"table": "item", "id": "o3", "was": {"deleted": true}, "now": {"image_id": 1, "label_id": null, "rank": 2, "mask_id": 6, "prompts": [[{"type": "text", "words": "a thing"}]], "score": 0.8999999761581421, "clicks": 1, "seconds": 0.0, "locked": false, "hidden": false, "deleted": false, "base_id": null, "origin": "prompt", "strokes": 0}}]',8,NULL,NULL);
INSERT INTO "journal" VALUES(10,'k7','2026-11-29T14:52:08.946+00:00','w1',1,'undo','{}','[{"table": "item", "id": "o3", "was": {"deleted": false}, "now": {"deleted": true}}]',8,9,NULL);
INSERT INTO "journal" VALUES(11,'k8','2026-11-29T14:52:08.953+00:00','w1',1,'redo','{}','[{"table": "item", "id": "o3", "was": {"deleted": true}, "now": {"deleted": false}}]',8,9,NULL);
INSERT INTO "journal" VALUES(12,'k9','2026-11-29T14:52:08.958+00:00','w1',1,'remove','{"object": "o3"}','[{"table": "item", "id": "o3", "was": {"deleted": false}, "now": {"deleted": true}}]',9,NULL,NULL);
INSERT INTO "journal" VALUES(13,'k10','2026-11-29T14:52:08.963+00:00','w1',1,'state','{"state": "accepted"}','[{"table": "image", "id": 1, "was": {"state": "started"}, "now": {"state": "accepted"}}]',12,NULL,NULL);
INSERT INTO "journal" VALUES(14,'k11','2026-11-29T14:52:08.987+00:00','w1',2,'prompt','{"object": "o4", "prompts": [{"type": "example", "object": "o2"}]}','[{"table": "item", "id": "o4", "was": {"deleted": true}, "now": {"image_id": 2, "label_id": null, "rank": 0, "mask_id": 7, "prompts": [[{"type": "example", "image": 1, "mask": 5}]], "score": 0.8999999761581421, "clicks": 1, "seconds": 0.0, "locked": false, "hidden": false, "deleted": false, "base_id": null, "origin": "prompt", "strokes": 0}}, {"table": "image", "id": 2, "was": {"state": "new"}, "now": {"state": "started"}}]',NULL,NULL,NULL);
INSERT INTO "journal" VALUES(15,'k12','2026-11-29T14:52:08.997+00:00','w1',2,'copy','{"objects": {"o1": "o5"}}','[{"table": "item", "id": "o5", "was": {"deleted": true}, "now": {"image_id": 2, "label_id": null, "rank": 1, "mask_id": 8, "base_id": 8, "origin": "copy", "locked": false, "hidden": false, "deleted": false, "prompts": [], "score": 0.0, "clicks": 0, "strokes": 0, "seconds": 0.0}}]',14,NULL,NULL);
INSERT INTO "journal" VALUES(16,'k13','2026-11-29T14:52:09.003+00:00','w1',2,'edit','{"object": "o5", "hidden": true}','[{"table": "item", "id": "o5", "was": {"hidden": false}, "now": {"hidden": true}}]',15,NULL,NULL);
INSERT INTO "journal" VALUES(17,'k14','2026-11-29T14:52:09.013+00:00','w1',2,'undo','{}','[{"table": "item", "id": "o5", "was": {"hidden": true}, "now": {"hidden": false}}]',15,16,NULL);
INSERT INTO "journal" VALUES(18,'k15','2026-11-29T14:52:09.042+00:00','w1',3,'decide','{"finding": 1, "accept": true, "object": "o6"}','[{"table": "finding", "id": 1, "was": {"state": "open"}, "now": {"state": "accepted"}}, {"table": "item", "id": "o6", "was": {"deleted": true}, "now": {"image_id": 3, "label_id": 2, "rank": 0, "mask_id": 9, "base_id": 9, "origin": "found", "score": 0.7, "locked": false, "hidden": false, "deleted": false, "prompts": [], "clicks": 0, "strokes": 0, "seconds": 0.0}}, {"table": "image", "id": 3, "was": {"state": "new"}, "now": {"state": "started"}}]',NULL,NULL,NULL);
INSERT INTO "journal" VALUES(19,'s1','2026-11-29T14:52:09.049+00:00','api',NULL,'settings','{"overlap": "new"}','[{"table": "setting", "id": "overlap", "was": {"value": "allow"}, "now": {"value": "new"}}]',NULL,NULL,NULL);
CREATE TABLE label (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	colour VARCHAR NOT NULL, 
	rank INTEGER NOT NULL, 
	deleted BOOLEAN NOT NULL
);
INSERT INTO "label" VALUES(1,'object','#4C8DFF',0,0);
INSERT INTO "label" VALUES(2,'fish','#FF7A59',1,0);
CREATE TABLE mask (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	x0 INTEGER NOT NULL, 
	y0 INTEGER NOT NULL, 
	x1 INTEGER NOT NULL, 
	y1 INTEGER NOT NULL, 
	area INTEGER NOT NULL, 
	data BLOB NOT NULL
);
INSERT INTO "mask" VALUES(1,20,20,53,60,1320,X'78016358C10500015D00B3');
INSERT INTO "mask" VALUES(2,20,20,144,105,4200,X'780163508CA62A9CCEE86043230800BD54292E');
INSERT INTO "mask" VALUES(3,20,20,53,60,1320,X'78016358C10500015D00B3');
INSERT INTO "mask" VALUES(4,20,5,130,60,1420,X'78014BE14AC180CB58147DA90B017AF21627');
INSERT INTO "mask" VALUES(5,10,10,30,40,600,X'780163B8C1020001B700DD');
INSERT INTO "mask" VALUES(6,40,30,80,60,1200,X'780163D8C00900016C00BA');
INSERT INTO "mask" VALUES(7,40,30,80,60,1200,X'780163D8C00900016C00BA');
INSERT INTO "mask" VALUES(8,20,5,130,60,1420,X'78014BE14AC180CB58147DA90B017AF21627');
INSERT INTO "mask" VALUES(9,50,50,70,70,400,X'78016398C00C0001260094');
CREATE TABLE setting (
	"key" VARCHAR NOT NULL, 
	value JSON, 
	PRIMARY KEY ("key")
);
INSERT INTO "setting" VALUES('overlap','"new"');
CREATE UNIQUE INDEX ix_image_path ON image (path);
CREATE INDEX ix_image_state ON image (state);
CREATE INDEX ix_item_image_id ON item (image_id);
CREATE UNIQUE INDEX ix_journal_key ON journal ("key");
CREATE INDEX ix_journal_image_id ON journal (image_id);
CREATE INDEX ix_finding_image_id ON finding (image_id);
CREATE INDEX ix_finding_state ON finding (state);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('image',3);
INSERT INTO "sqlite_sequence" VALUES('label',2);
INSERT INTO "sqlite_sequence" VALUES('journal',19);
INSERT INTO "sqlite_sequence" VALUES('mask',9);
INSERT INTO "sqlite_sequence" VALUES('finding',1);
COMMIT;
