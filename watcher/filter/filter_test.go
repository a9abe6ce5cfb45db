package filter

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func mustNew(t testing.TB, o Options) *Filter {
	t.Helper()
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// list reads a table's cell of Globs.
func list(text string) (g Globs) {
	if err := g.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return g
}

func TestPatternsChooseFilesAndFolders(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		include, exclude string
		depth            int
		files, not       string // separated by |
		folders, closed  string
	}{
		{files: "a.mp4|A|x/y/z.jpg|no ending|-rf|\n.mp4|\xff\xfe.jpg|x\xff/a.jpg|*|[1].jpg|{a}|a\\b|ä.jpg", folders: "x|x/y|-|\xff||."},
		{include: "*.mp4", files: "a.mp4|a.MP4|x/y/a.Mp4|a b.mp4|\xff.mp4|\n.mp4|-.mp4|a.mp4.mp4", not: "a.jpg|mp4|amp4|a.mp4x|a.mp4/b|x/a.mp4/b.jpg", folders: "x|x/y|a.mp4"},
		{include: "IMG_*.{jpg,PNG}", files: "img_1.jpg|IMG_1.JPG|x/Img_.png", not: "img_1.gif|1.jpg|img_1.{jpg,png}|img_1.jpg,png"},
		{include: "*.mp4,*.mov", files: "a.mp4|a.mov", not: "a.mkv|a.mp4,b.mkv"},
		{include: "clip[0-9].mp4", files: "clip1.mp4|x/CLIP9.mp4", not: "clip.mp4|clipx.mp4|clip10.mp4|clip\xff.mp4"},
		{include: "clip[!0-9].mp4", files: "clipx.mp4|clip\xff.mp4", not: "clip1.mp4|clip/.mp4"},
		{include: "?.mp4", files: "a.mp4|ä.mp4|名.mp4|\xff.mp4|\n.mp4", not: "ab.mp4|\xff\xfe.mp4|e\u0301.mp4"},
		{include: "Ä*", files: "ä.jpg|Äpfel.mp4|x/ä", not: "a.jpg|A\u0308.jpg"}, // the other normal form is another name
		{include: `\[1\].jpg,a\,b`, files: "[1].jpg|x/[1].jpg|a,b", not: "1.jpg|a|b"},
		{include: "[,].jpg", files: ",.jpg", not: "[,].jpg|a.jpg"},
		{include: "raw/**", files: "raw/a.jpg|RAW/x/y.jpg", not: "raw|a.jpg|x/raw/a.jpg|rawx/a.jpg", folders: "raw|x|x/raw"},
		{include: "raw/*.jpg", files: "raw/a.jpg", not: "raw/x/a.jpg|x/raw/a.jpg|a.jpg"},
		{include: "raw/**/*.jpg", files: "raw/a.jpg|raw/x/a.jpg|raw/x/y/a.jpg", not: "raw/a.mp4|x/raw/a.jpg"},
		{include: "**/raw/**", files: "raw/a|x/raw/a|x/y/raw/z/a", not: "raw|x/raw|a"},
		{include: "**/raw", files: "raw|x/raw|x/y/raw", not: "raw/a"},
		{include: "*/**", files: "x/a|x/y/a", not: "a"},
		{include: "**", files: "a|x/a|\xff"},
		{include: "{raw/**,*.mp4}", files: "raw/a.jpg|a.mp4|x/y/a.mp4", not: "a.jpg|x/a.jpg"}, // each for itself
		{include: "{a,b{c,d}}/*.{x,y}", files: "a/1.x|bc/1.y|bd/1.x", not: "b/1.x|a/1.z|bcd/1.x"},
		{include: "x[!a]y/*", files: "xby/1|x-y/1", not: "xay/1|x/y/1|x/y"}, // no class takes in a slash
		{include: "x[^-a]y/*", files: "xby/1|x0y/1", not: "xay/1|x-y/1|x/y/1"},
		{exclude: "raw", files: "raws/a|a", not: "raw/a|RAW/x/a|x/raw/a|raw|x/raw", folders: "raws|x", closed: "raw|Raw|x/raw|raw/x"},
		{exclude: "raw/**", files: "raw|x/raw/a|rawx/a", not: "raw/a|raw/x/a", folders: "x/raw|rawx", closed: "raw|RAW|raw/x"},
		{exclude: "raw/*", files: "raw", not: "raw/a|raw/x/a", folders: "raw|x/raw/x", closed: "raw/x|raw/x/y"},
		{exclude: "**/proxy/*.mov", files: "a.mov|proxy/a.mp4|proxy/x/a.mov", not: "proxy/a.mov|x/proxy/a.mov", folders: "proxy|x/proxy", closed: "proxy/x.mov"},
		{exclude: "*.lrv,*.thm", files: "a.mp4", not: "a.lrv|GOPR1.THM"},
		{exclude: "*", not: "a|x/a", folders: "|.", closed: "x"},
		{include: "*.mp4", exclude: "old*", files: "new.mp4|x/new.mp4", not: "old.mp4|OLD.MP4|old/new.mp4|new.jpg", folders: "new", closed: "old|older"},
		{depth: 1, files: "a", not: "x/a|x/y/a", folders: "|.", closed: "x|x/y"},
		{depth: 2, files: "a|x/a", not: "x/y/a", folders: "x|y", closed: "x/y"},
		{depth: 3, files: "a|x/y/a", not: "x/y/z/a", folders: "x/y", closed: "x/y/z"},
		{include: ".*,*.part,thumbs.db", not: ".hidden|a.part|Thumbs.db"}, // never media, whatever is asked for
	} {
		f := mustNew(t, Options{Include: list(c.include), Exclude: list(c.exclude), MaxDepth: c.depth})
		check := func(what, names string, decide func(string) bool, want bool) {
			if names == "" {
				return
			}
			for _, name := range strings.Split(names, "|") {
				if decide(name) != want {
					t.Errorf("include %q, exclude %q, depth %d: %s %q counts: %v", c.include, c.exclude, c.depth, what, name, !want)
				}
			}
		}
		check("file", c.files, f.File, true)
		check("file", c.not, f.File, false)
		check("folder", c.folders, f.Folder, true)
		check("folder", c.closed, f.Folder, false)
	}
}

func TestNamesThatAreNeverMediaAreLeftOut(t *testing.T) {
	t.Parallel()
	var f *Filter
	for _, name := range strings.Split(".|..|...|.hidden|.clip.mp4.Xa81b2|.~lock.clip.mp4#|~clip.mp4|~$clip.mp4|~syncthing~clip.mp4.tmp|"+
		".syncthing.clip.mp4.tmp|.stversions|.DS_Store|._clip.mp4|.nfs0001|.fuse_hidden01|.in.clip.mp4.|.pureftpd-upload.5c|.@__thumb|"+
		"clip.mp4.part|clip.part|clip.PART|clip.Partial|clip.mp4.8f2a1c.partial|clip.mp4.crdownload|clip.download|clip.mp4.tmp|a.TMP|"+
		"clip.filepart|clip.writing|x..tmp|clip.mp4.opdownload|clip.mp4.!ut|clip.mp4.!qB|clip.mp4.bc!|clip.mp4.!sync|"+
		"clip.mp4.part-Frag12|clip.mp4.ytdl|clip.mp4.aria2|clip.mp4.aspx|clip.mp4.aspera-ckpt|clip.mp4.camelLock|"+
		"clip.mp4.verdict.json|CLIP.FAILURE.JSON|@eaDir|Thumbs.db|ehthumbs.db|Desktop.ini|$RECYCLE.BIN|System Volume Information|"+
		"lost+found|#recycle|#snapshot|@Recycle|@Recently-Snapshot|Icon\r", "|") {
		if f.File(name) || f.File("x/"+name) || f.File(name+"/clip.mp4") || f.File("x/"+name+"/y/clip.mp4") {
			t.Errorf("%q is taken for media, or what is in it", name)
		}
		if f.Folder("x/"+name) || f.Folder(name+"/y") {
			t.Errorf("the folder %q is entered", name)
		}
	}
	for _, name := range strings.Split("clip.mp4|clip|part|tmp|clip.parts|clip.part.mp4|a.tmp.jpg|clip.part1|-rf|-|clip~|clip.mp4~|#clip#|"+
		" .hidden|clip.|\xff.mp4|\n.mp4|clip.tmp |ａ.ｔｍｐ|x.template|_|$|%2e.jpg|clip.temp.mp4|GOPR0001.LRV|MVI_1.THM|clip.verdict.json.jpg|"+
		"verdict.json|thumbs.db.jpg|lost|recycle|Icon|@|@home|#1.jpg|Mr.Lock|clip.fpart", "|") {
		if !f.File(name) || !f.File("x/"+name) || !f.Folder(name) || !f.File(name+"/clip.mp4") {
			t.Errorf("%q is ignored", name)
		}
	}
}

func TestSizesAreInclusive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		min, max, size int64
		want           bool
	}{
		{0, 0, 0, true}, {0, 0, 1 << 62, true}, {10, 0, 9, false}, {10, 0, 10, true}, {10, 0, 1 << 62, true},
		{0, 10, 10, true}, {0, 10, 11, false}, {10, 10, 10, true}, {10, 10, 9, false}, {10, 10, 11, false},
	} {
		if got := mustNew(t, Options{MinSize: c.min, MaxSize: c.max}).Size(c.size); got != c.want {
			t.Errorf("%d bytes of %d to %d count: %v", c.size, c.min, c.max, got)
		}
	}
}

func TestMarkersNameTheirFilesAndAreNoMedia(t *testing.T) {
	t.Parallel()
	f := mustNew(t, Options{DoneSuffix: ".done"})
	if got := f.Marker("/in/a b/clip.mp4"); got != "/in/a b/clip.mp4.done" {
		t.Errorf("marker %q", got)
	}
	for path, want := range map[string]string{
		"/in/clip.mp4.done": "/in/clip.mp4", "clip.mp4.done": "clip.mp4", "/in/CLIP.MP4.DONE": "/in/CLIP.MP4", "\xff.done": "\xff",
		"/in/a.done.done": "/in/a.done",
		"/in/clip.mp4":    "", "/in/.done": "", ".done": "", "done": "", "": "", "/in/a.done/clip.mp4": "", "a.done ": "",
	} {
		file, ok := f.Marked(path)
		if ok != (want != "") || ok && file != want {
			t.Errorf("%q marks %q, %v; want %q", path, file, ok, want)
		}
		if ok && f.File(path) {
			t.Errorf("%q is taken for media", path)
		}
	}
	if !f.File("clip.mp4") || !f.File("a.done/clip.mp4") { // a folder is no marker
		t.Error("a file is taken for a marker")
	}
	if f := mustNew(t, Options{DoneSuffix: "_ok"}); f.File("_ok") || f.File("clip_OK") || !f.File("look.mp4") {
		t.Error("a suffix without a dot is not honoured")
	}
}

func TestNilLetsThroughWhatTheZeroOptionsDo(t *testing.T) {
	t.Parallel()
	var f *Filter
	zero := mustNew(t, Options{})
	for _, path := range []string{"clip.mp4", "x/clip.mp4", ".x/clip.mp4", "x.part", "", "."} {
		if f.File(path) != zero.File(path) || f.Folder(path) != zero.Folder(path) {
			t.Errorf("they differ over %q", path)
		}
	}
	if _, ok := f.Marked("clip.mp4"); ok || f.Marker("clip.mp4") != "" || !f.Size(0) || !f.Size(1<<40) {
		t.Error("nil asks for a size or a marker")
	}
	if _, ok := zero.Marked("clip.mp4"); ok || zero.Marker("clip.mp4") != "" {
		t.Error("the zero options ask for a marker")
	}
}

func TestMistakesSayWhatToWriteInstead(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"":                                      "write *",
		"/srv/inbox/*.mp4":                      "from the watched folder on",
		"/":                                     "from the watched folder on",
		"../x":                                  "leads out",
		"x/../y":                                "leads out",
		"..":                                    "leads out",
		"{a,../b}":                              "leads out",
		"raw/":                                  `write "raw/**"`,
		"x//y":                                  "leave it out",
		"./x":                                   "leave it out",
		"[a":                                    "no partner",
		"{a,b":                                  "no partner",
		"a}":                                    "no partner",
		"[]":                                    "no partner",
		`a\`:                                    "backslash",
		"a{,b":                                  "no partner",
		"{a,}":                                  "write *",
		"x/[a/b]":                               "slash between brackets",
		"x/a[+-9]":                              "write it as two",
		"**.mp4":                                "alone between slashes",
		"raw**/x":                               "alone between slashes",
		"\xff*":                                 "not UTF-8",
		"\ufffd":                                "not UTF-8",
		strings.Repeat("{a,b}", 10):             "more than 1000",
		strings.Repeat("{a,b}", 500):            "more than 1000",
		strings.Repeat("{{a,b},c}", 30):         "more than 1000",
		"{" + strings.Repeat("a,", 1000) + "a}": "more than 1000",
	} {
		_, err := New(Options{Include: []string{"*.mp4", pattern}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "pattern ") {
			t.Errorf("pattern %.40q: %v; want %q", pattern, err, want)
		}
		if _, other := New(Options{Exclude: []string{pattern}}); other == nil || err == nil || other.Error() != err.Error() {
			t.Errorf("pattern %.40q: %v as an exclude", pattern, other)
		}
	}
	for _, suffix := range []string{"/done", ".d/one", "*.done", " ", ".done ", " .done", ".do\x00ne", ".done\n", "\xff", "\ufffd", strings.Repeat("x", 101)} {
		if _, err := New(Options{DoneSuffix: suffix}); err == nil || !strings.Contains(err.Error(), "suffix") {
			t.Errorf("suffix %q: %v", suffix, err)
		}
	}
	for _, o := range []Options{{MinSize: -1}, {MaxSize: -1}, {MaxDepth: -1}, {MinSize: 2, MaxSize: 1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v are taken", o)
		}
	}
}

func TestAllMistakesAreToldAtOnceOneALine(t *testing.T) {
	t.Parallel()
	f, err := New(Options{
		Include: []string{"[\n", "ok", "/a"}, Exclude: []string{"../\n", "x[!-9]\n/+[+-9\n]"}, MinSize: 2, MaxSize: 1, DoneSuffix: "/",
	})
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if f != nil || !ok || len(joined.Unwrap()) != 6 || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("%v", err)
	}
}

func TestAListIsCutAtTheCommasBetweenPatterns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                             nil,
		" , ,":                         nil,
		"*.mp4":                        {"*.mp4"},
		"*.mp4, *.mov ,":               {"*.mp4", "*.mov"},
		"IMG_*.{jpg,png},*.mp4":        {"IMG_*.{jpg,png}", "*.mp4"},
		"{a,{b,c},d},e":                {"{a,{b,c},d}", "e"},
		`a\,b,c`:                       {`a\,b`, "c"},
		`\{a,b`:                        {`\{a`, "b"},
		"[,],[!,{],x":                  {"[,]", "[!,{]", "x"},
		`[\],],x`:                      {`[\],]`, "x"},
		"a},b":                         {"a}", "b"},
		"{a,b":                         {"{a,b"},
		"[a,b":                         {"[a,b"},
		`a\`:                           {`a\`},
		"{[}],a},\xff,b c,\n.mp4\t,-x": {"{[}],a}", "\xff", "b c", ".mp4", "-x"},
	} {
		got := list(text)
		if !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", text, []string(got), want)
		}
		if again := list(got.String()); !slices.Equal(again, got) {
			t.Errorf("%q is written %q, which is %q", text, got.String(), []string(again))
		}
	}
}

func BenchmarkFile(b *testing.B) {
	options := map[string]Options{
		"builtin":  {},
		"patterns": {Include: []string{"*.{mp4,mov,mxf,jpg,jpeg,png}"}, Exclude: []string{"raw/**", "**/proxy/**", "*.lrv"}, DoneSuffix: ".done", MaxDepth: 8},
	}
	for _, name := range []string{"builtin", "patterns"} {
		f := mustNew(b, options[name])
		for what, path := range map[string]string{
			"plain": "clip-0001.jpg", "upper": "DCIM/100CANON/IMG_0001.JPG", "deep": "2026/01/02/camera-3/clip-0001.jpg",
		} {
			b.Run(name+"/"+what, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !f.File(path) {
						b.Fatal("left out")
					}
				}
			})
		}
	}
}
