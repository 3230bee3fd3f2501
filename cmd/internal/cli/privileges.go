package cli

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"mcp401/capture"
)

// nobody is the user and group of that name where no file says otherwise.
const nobody = 65534

// An account is a user with his groups.
type account struct {
	name     string
	uid, gid int
	groups   []int
}

// lookup finds a user by name or number, with his groups.
func lookup(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return account{}, fmt.Errorf("--user %s: no such user", name)
		}
	}
	acc := account{name: u.Username}
	if acc.uid, err = strconv.Atoi(u.Uid); err == nil {
		acc.gid, err = strconv.Atoi(u.Gid)
	}
	if err != nil {
		return acc, fmt.Errorf("--user %s: not a user of this system", name)
	}
	ids, _ := u.GroupIds() // without them the user has fewer rights, no others
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			acc.groups = append(acc.groups, n)
		}
	}
	return acc, nil
}

// ordinary returns whom to become where nobody was named: who called sudo, and
// nobody.
func ordinary() []account {
	var list []account
	if id := os.Getenv("SUDO_UID"); id != "" && id != "0" {
		acc, err := lookup(id)
		uid, bad := strconv.Atoi(id)
		if gid, e := strconv.Atoi(os.Getenv("SUDO_GID")); err != nil && bad == nil && e == nil {
			acc, err = account{name: id, uid: uid, gid: gid}, nil
		}
		if err == nil {
			list = append(list, acc)
		}
	}
	return append(list, account{name: "nobody", uid: nobody, gid: nobody})
}

// relinquish gives up what only the opening of the sockets needed. Who is no
// root keeps his name and loses his capabilities. Root becomes the user that is
// named, or, where none is and he may choose, the first one that can read the
// key logs and write beside the file to be written; with none of them he stays
// root and keeps no right but that to files.
func (a *app) relinquish(name string, choose bool, keylogs []string, file string) error {
	if os.Geteuid() != 0 {
		if name != "" {
			return hinted(fmt.Errorf("--user %s: only root can become another user", name), "without it the rights to capture are given up all the same")
		}
		return a.drop(capture.DropCapabilities())
	}
	var list []account
	switch {
	case name != "":
		acc, err := lookup(name)
		if err != nil {
			return err
		}
		if acc.uid == 0 {
			if err := capture.DropCapabilities(capture.FileAccess); !errors.Is(err, errors.ErrUnsupported) {
				return err
			}
			return nil // as he wanted
		}
		list = []account{acc}
	case choose:
		list = ordinary()
	default:
		return nil
	}
	var why error
	for _, acc := range list {
		if name == "" {
			if err := reaches(acc, keylogs, file); err != nil {
				why = errors.Join(why, fmt.Errorf("%s cannot: %w", acc.name, err))
				continue
			}
		}
		if err := capture.DropPrivileges(acc.uid, acc.gid, acc.groups); err != nil {
			return fmt.Errorf("becoming %s: %w", acc.name, err)
		}
		return nil
	}
	a.warn(hinted(fmt.Errorf("still root, with the right to files only: %w", why), "--user NAME, who can; --user root: no word of this"))
	return a.drop(capture.DropCapabilities(capture.FileAccess))
}

// drop words an error of dropping capabilities. What cannot be dropped does not
// end the run.
func (a *app) drop(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		a.warn(hinted(errors.New("the rights to capture are kept: this program was built with cgo"), "CGO_ENABLED=0 go build ./cmd/mcp401"))
		return nil
	}
	return err
}

// reaches tries whether a user can do what will be asked of him.
func reaches(acc account, keylogs []string, file string) error {
	var fault error
	err := capture.FilesAs(acc.uid, acc.gid, acc.groups, func() {
		for _, name := range keylogs {
			f, err := os.Open(name)
			if err != nil {
				fault = fmt.Errorf("read --keylog %s: %w", name, capture.Nameless(err))
				return
			}
			f.Close()
		}
		if file == "" {
			return
		}
		f, err := os.CreateTemp(filepath.Dir(file), ".mcp401-*")
		if err == nil {
			f.Close()
			err = os.Remove(f.Name())
		}
		if err != nil {
			fault = fmt.Errorf("write --write %s: %w", file, capture.Nameless(err))
		}
	})
	if err != nil {
		return err
	}
	return fault
}
