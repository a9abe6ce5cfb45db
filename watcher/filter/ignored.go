package filter

import "strings"

// ignored reports whether a name, in lower case, is never media. What could be somebody's photo or film is not here:
// not clip.mp4~, not clip.temp.mp4, nor a camera's previews (.thm, .lrv), which are real media.
func ignored(name string) bool {
	return hidden(name) || halfWritten(name) || besides(name) || systems(name) ||
		strings.HasSuffix(name, ".verdict.json") || strings.HasSuffix(name, ".failure.json") // our own sidecars
}

// hidden are dotfiles, which rsync, many FTP servers and Syncthing write too before a file is whole, and names that
// begin with a tilde: ~$clip.mp4 of Office, ~syncthing~clip.mp4.tmp, the ~snapshot of a NetApp.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~")
}

// halfWritten are the endings that programs give a file until it is whole.
func halfWritten(name string) bool {
	switch end := extension(name); end {
	case ".tmp", ".writing", // the custom of many
		".part",                // Firefox, Nextcloud, yt-dlp
		".partial",             // rclone, Aspera, Edge
		".filepart",            // WinSCP
		".crdownload",          // Chrome
		".download",            // Safari
		".opdownload",          // Opera
		".!ut", ".!qb", ".bc!", // uTorrent, qBittorrent, BitComet
		".!sync": // Resilio
		return true
	default:
		return strings.HasPrefix(end, ".part-frag") // yt-dlp: clip.mp4.part-Frag12
	}
}

// besides are the endings of what programs keep beside a file while they write or read it.
func besides(name string) bool {
	switch extension(name) {
	case ".camellock", // Apache Camel
		".aria2", ".ytdl", // aria2, yt-dlp
		".aspx", ".aspera-ckpt": // Aspera's notes of how far it came
		return true
	}
	return false
}

// systems are the names of what operating systems, shares and NAS keep for themselves.
func systems(name string) bool {
	switch name {
	case "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "system volume information", // Windows
		"icon\r",                                               // macOS
		"lost+found",                                           // Linux
		"@eadir", "@tmp", "@sharebin", "#recycle", "#snapshot", // Synology
		"@recycle", "@recently-snapshot", "@transcode": // QNAP
		return true
	}
	return false
}

func extension(name string) string {
	if at := strings.LastIndexByte(name, '.'); at >= 0 {
		return name[at:]
	}
	return ""
}
